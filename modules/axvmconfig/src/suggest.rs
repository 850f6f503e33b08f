//! The known word that was probably meant.

use alloc::vec::Vec;

/// Longer words are nobody's typo, and the comparison stays bounded.
const LONGEST: usize = 40;

/// The word of `known` nearest to `word`, if it is near enough to have been meant.
///
/// One mistake in a word of up to four letters, two in a longer one.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let tolerated = if word.len() <= 4 { 1 } else { 2 };
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(far, _)| *far <= tolerated)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// The insertions, deletions, replacements and swaps of neighbours from `a` to `b`; capitals count for nothing.
fn distance(a: &str, b: &str) -> usize {
    let cost = |one: u8, other: u8| usize::from(!one.eq_ignore_ascii_case(&other));
    // One more than in row `row` at `index`.
    let beyond = |row: &[usize], index: usize| {
        row.get(index).map_or(usize::MAX, |far| far.saturating_add(1))
    };
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i.saturating_add(1));
        for (j, to) in b.iter().enumerate() {
            let replaced =
                last.get(j).map_or(usize::MAX, |far| far.saturating_add(cost(*from, *to)));
            let edited = replaced.min(beyond(&last, j.saturating_add(1))).min(beyond(&row, j));
            let before = j.checked_sub(1).and_then(|left| b.get(left).map(|byte| (left, *byte)));
            let swapped = match (previous, before) {
                (Some(above), Some((left, byte)))
                    if cost(above, *to) == 0 && cost(*from, byte) == 0 =>
                {
                    beyond(&before_last, left)
                }
                _ => usize::MAX,
            };
            row.push(edited.min(swapped));
        }
        before_last = core::mem::replace(&mut last, row);
        previous = Some(*from);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kernel", "kernel"), 0);
        assert_eq!(distance("kernal", "kernel"), 1);
        assert_eq!(distance("cpu", "cpus"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("arhc", "arch"), 1);
        assert_eq!(distance("Name", "name"), 0);
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["cpus", "memory", "kernel"];
        assert_eq!(nearest("cpu", known.into_iter()), Some("cpus"));
        assert_eq!(nearest("memroy", known.into_iter()), Some("memory"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
