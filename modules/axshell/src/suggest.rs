//! What somebody may have meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longer words are not compared.
const MAX_CHARS: usize = 64;

/// `"; did you mean X?"` for the known word nearest to `typed`, or nothing when none is near.
pub(crate) fn did_you_mean<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> String {
    let limit = (typed.chars().count() / 3).clamp(1, 2);
    let near =
        known.map(|word| (distance(typed, word), word)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= limit)
        .map(|(_, word)| format!("; did you mean {word}?"))
        .unwrap_or_default()
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(MAX_CHARS + 1).collect();
    if a.chars().count() > MAX_CHARS || b.len() > MAX_CHARS {
        return usize::MAX;
    }
    let mut older: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, from) in a.chars().enumerate() {
        let mut now = Vec::with_capacity(above.len());
        let mut left = row.saturating_add(1);
        now.push(left);
        for (column, to) in b.iter().enumerate() {
            // `more` than in `row` at `column`.
            let at = |row: &[usize], column: usize, more: usize| {
                row.get(column).map_or(usize::MAX, |far| far.saturating_add(more))
            };
            let mut best = at(&above, column, usize::from(from != *to));
            best = best.min(at(&above, column.saturating_add(1), 1)).min(left.saturating_add(1));
            let before = column.checked_sub(1);
            if let Some(before) =
                before.filter(|at| previous == Some(*to) && b.get(*at) == Some(&from))
            {
                best = best.min(at(&older, before, 1));
            }
            left = best;
            now.push(best);
        }
        older = core::mem::replace(&mut above, now);
        previous = Some(from);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters_put_in_left_out_changed_and_swapped() {
        assert_eq!(distance("list", "list"), 0);
        assert_eq!(distance("lst", "list"), 1);
        assert_eq!(distance("lisst", "list"), 1);
        assert_eq!(distance("lost", "list"), 1);
        assert_eq!(distance("lsit", "list"), 1);
        assert_eq!(distance("", "list"), 4);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["start", "stop", "list"];
        assert_eq!(did_you_mean("strat", known.into_iter()), "; did you mean start?");
        assert_eq!(did_you_mean("xyzzy", known.into_iter()), "");
        assert_eq!(did_you_mean("", known.into_iter()), "");
        assert_eq!(did_you_mean("q", [].into_iter()), "");
        assert_eq!(did_you_mean(&"s".repeat(500), known.into_iter()), "");
    }
}
