//! From a line to its words.
//!
//! Blanks separate words; `'...'` and `"..."` keep blanks, and a backslash keeps the next character, outside of
//! single quotes. A word that starts with `#` starts a comment.

use alloc::string::String;
use alloc::vec::Vec;

/// The words of `line`.
///
/// # Errors
/// A sentence, when a quote is open at the end or the line ends in a backslash.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        match rest.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => words.push(word(&mut rest)?),
        }
    }
}

/// The word `rest` starts with, which it loses.
fn word(rest: &mut core::iter::Peekable<core::str::Chars<'_>>) -> Result<String, &'static str> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(c) = rest.next_if(|c| quote.is_some() || !c.is_whitespace()) {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('\\', None | Some('"')) => {
                word.push(rest.next().ok_or("the line ends in a backslash")?)
            }
            _ => word.push(c),
        }
    }
    if quote.is_some() { Err("a quote is not closed") } else { Ok(word) }
}

/// The most characters of a typed word that a message repeats.
const MAX_SHOWN: usize = 40;

/// `word` as a message repeats it: not long, in one line.
pub(crate) fn shown(word: &str) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    let mut text: String = word.chars().take(MAX_SHOWN).map(printable).collect();
    if word.chars().nth(MAX_SHOWN).is_some() {
        text += "...";
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn blanks_separate_and_quotes_keep_them() {
        assert_eq!(split("  vm\tstart a ").unwrap(), ["vm", "start", "a"]);
        assert_eq!(
            split(r#"a "b c"d 'e "f' g\ h "\"""#).unwrap(),
            ["a", "b cd", "e \"f", "g h", "\""]
        );
        assert_eq!(split("'' \"\"").unwrap(), ["", ""]);
        assert!(split(" \t ").unwrap().is_empty());
    }

    #[test]
    fn comments_end_the_line_only_at_the_start_of_a_word() {
        assert_eq!(split("echo a#b # c 'd").unwrap(), ["echo", "a#b"]);
    }

    #[test]
    fn a_message_repeats_a_word_in_one_short_line() {
        assert_eq!(shown("a\nb\u{9b}"), "a?b?");
        assert_eq!(shown(&"é".repeat(1000)), "é".repeat(MAX_SHOWN) + "...");
    }

    #[test]
    fn what_is_open_at_the_end_is_an_error() {
        assert!(split("a 'b").is_err());
        assert!(split("a \"b").is_err());
        assert!(split("a\\").is_err());
    }
}
