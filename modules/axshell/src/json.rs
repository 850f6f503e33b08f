//! JSON (RFC 8259), as far as the shell writes it.

use alloc::format;
use alloc::string::String;

/// `text` as a string.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            // All of them but the ASCII ones could stand as they are, but a terminal may act on them.
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `name` as a key: small letters, digits and `_`.
pub(crate) fn key(name: &str) -> String {
    let mut key = String::new();
    for c in name.chars() {
        match c {
            '/' => key += "_per_",
            c if c.is_alphanumeric() => key.extend(c.to_lowercase()),
            _ => key.push('_'),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_and_hold_no_control_characters() {
        assert_eq!(text("a\"b\\c\n\t\x1b\u{9b}é"), "\"a\\\"b\\\\c\\n\\t\\u001b\\u009bé\"");
    }

    #[test]
    fn keys_are_plain_words() {
        assert_eq!(key("Exits/s"), "exits_per_s");
        assert_eq!(key("command line"), "command_line");
    }
}
