//! What may stand behind a key, as an editor is told: the same tables that the reader goes by.

use alloc::vec::Vec;

use crate::{choice::Choice, fields::Key};

/// What kind of value a key takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// An integer, both bounds included.
    Integer { least: usize, most: usize },
    /// A number of bytes: an integer, or text with a unit.
    Size,
    /// Text of so many bytes.
    Text { least: usize, most: usize },
    /// 1 to 32 letters, digits, `_` and `-`.
    Name,
    /// `true` or `false`.
    Boolean,
    /// One of a few words, some with a number that stands for them.
    Choice(fn() -> Vec<Word>),
    /// A list of one kind.
    List(&'static Kind),
    /// One of several kinds.
    Either(&'static [Kind]),
    /// A table.
    Table(&'static Shape),
    /// A table, or its values in a row of which the last `optional` may be left out.
    Record { shape: &'static Shape, row: &'static [&'static str], optional: usize },
}

/// Any address or number.
pub(crate) const NUMBER: Kind = Kind::Integer { least: 0, most: usize::MAX };
/// A file's path.
pub(crate) const PATH: Kind = Kind::Text { least: 1, most: 255 };

/// A word of a choice.
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) number: Option<usize>,
    /// Whether errors name it: further spellings are taken and not told of.
    pub(crate) advertised: bool,
}

/// Every spelling of `T`.
pub(crate) fn words<T: Choice>() -> Vec<Word> {
    let main =
        T::ALL.iter().map(|(word, number, _)| Word { word, number: *number, advertised: true });
    let others = T::ALIASES.iter().map(|(word, _)| Word { word, number: None, advertised: false });
    main.chain(others).collect()
}

/// The keys of a table.
pub(crate) struct Shape {
    pub(crate) keys: &'static [Key],
    /// Of each of these groups, one key has to be there.
    pub(crate) required: &'static [&'static [&'static str]],
}
