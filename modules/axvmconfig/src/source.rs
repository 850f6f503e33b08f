//! The text of a config file: parsed within bounds, and quoted in errors.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use toml::{Spanned, de::DeTable};
use toml_parser::{
    ErrorSink, Expected, ParseError, Span,
    parser::{EventReceiver, parse_document},
};

use crate::error::{ConfigError, Excerpt};

/// The longest file that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// How deep brackets and braces may nest: the parser, and the drop of what it built, recurse per level.
const MAX_NESTING: usize = 8;
/// How many dots a key may have: each opens a table of its own.
const MAX_DOTS: usize = 4;
/// How many tables a file may have, those that dots open included: each takes more than 1 KiB while it is read.
const MAX_TABLES: usize = 1024;
/// How much of a line is shown.
const SHOWN: usize = 160;
/// How far right the caret may be before the line's beginning is left out.
const SHOWN_BEFORE: usize = 100;

/// A file's name and text.
pub(crate) struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl<'t> Source<'t> {
    pub(crate) const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text }
    }

    /// The tree of the whole file.
    ///
    /// The grammar is checked first, with nesting, dots and tables counted, so that the tree is built of sound text only
    /// and cannot get deep enough to exhaust a small stack, nor big enough to exhaust a small heap.
    pub(crate) fn parse(&self) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        if self.text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes", self.text.len());
            return Err(self.error(0..0, "", message, "allowed: 64 KiB at most"));
        }
        if let Some(error) = self.check() {
            return Err(self.syntax_error(&error));
        }
        DeTable::parse(self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let hint = match error.message() {
                "duplicate key" => "a key or [section] of this name stands above",
                _ => "",
            };
            self.error(span, "", error.message(), hint)
        })
    }

    /// The first mistake in the grammar, or the first thing too many.
    fn check(&self) -> Option<ParseError> {
        let tokens = toml_parser::Source::new(self.text).lex().into_vec();
        let mut first = None;
        parse_document(&tokens, &mut Limits::default(), &mut first);
        first
    }

    fn syntax_error(&self, error: &ParseError) -> ConfigError {
        let span = error.unexpected().or(error.context());
        let span = span.map_or(0..0, |span| span.start()..span.end());
        let expected: Vec<String> = error
            .expected()
            .unwrap_or_default()
            .iter()
            .map(|one| match one {
                Expected::Literal("\n") => "a new line".into(),
                Expected::Literal(text) => quoted(text),
                Expected::Description(text) => (*text).into(),
                _ => "something else".into(),
            })
            .collect();
        let hint = if expected.is_empty() {
            String::new()
        } else {
            format!("expected: {}", expected.join(" or "))
        };
        self.error(span, "", error.description(), hint)
    }

    /// An error at the bytes `span`, which may lie anywhere.
    pub(crate) fn error(
        &self,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        let start = self.text.floor_char_boundary(span.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let column = chars(line, start.saturating_sub(line_start));
        let end = chars(line, span.end.saturating_sub(line_start));
        ConfigError {
            file: self.file.to_string(),
            line: self.line_of(start),
            column: column.saturating_add(1),
            key: key.to_string(),
            message: message.into(),
            hint: hint.into(),
            excerpt: Box::new(excerpt(line, column, end.saturating_sub(column))),
        }
    }

    /// The line, from 1, that the byte `at` is on.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
    }
}

/// How many characters the first `bytes` bytes of `line` hold.
fn chars(line: &str, bytes: usize) -> usize {
    let bytes = line.floor_char_boundary(bytes);
    line.get(..bytes).unwrap_or_default().chars().count()
}

/// The part of `line` around the character `column`.
fn excerpt(line: &str, column: usize, length: usize) -> Excerpt {
    let skipped = if column > SHOWN_BEFORE { column.saturating_sub(SHOWN_BEFORE / 2) } else { 0 };
    let text: String = line.chars().skip(skipped).take(SHOWN).map(printable).collect();
    let before = column.saturating_sub(skipped);
    let room = text.chars().count().saturating_sub(before);
    Excerpt { before, carets: length.min(room).max(1), text }
}

/// One character that moves the cursor by one.
fn printable(char: char) -> char {
    match char {
        '\t' => ' ',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

/// `text` as an error may repeat it: quoted, escaped, and cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 48;
    let shown: String = text.chars().take(LONGEST).collect();
    let cut = if shown.len() < text.len() { "..." } else { "" };
    format!("\"{}{cut}\"", shown.escape_debug())
}

/// Refuses what nests too deep or gets too big, while the grammar is checked.
#[derive(Default)]
struct Limits {
    nesting: usize,
    dots: usize,
    tables: usize,
}

impl Limits {
    fn open(&mut self, span: Span, errors: &mut dyn ErrorSink) -> bool {
        self.nesting = self.nesting.saturating_add(1);
        self.dots = 0;
        let allowed = self.nesting <= MAX_NESTING;
        if !allowed {
            errors.report_error(ParseError::new("nested too deep").with_unexpected(span));
        }
        allowed
    }

    fn table(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.tables = self.tables.saturating_add(1);
        if self.tables > MAX_TABLES {
            errors.report_error(ParseError::new("too many tables").with_unexpected(span));
        }
    }

    fn close(&mut self) {
        self.nesting = self.nesting.saturating_sub(1);
    }
}

impl EventReceiver for Limits {
    fn std_table_open(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.dots = 0;
        self.table(span, errors);
    }

    fn array_table_open(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.dots = 0;
        self.table(span, errors);
    }

    fn inline_table_open(&mut self, span: Span, errors: &mut dyn ErrorSink) -> bool {
        self.table(span, errors);
        self.open(span, errors)
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, errors: &mut dyn ErrorSink) -> bool {
        self.open(span, errors)
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn key_sep(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.table(span, errors);
        self.dots = self.dots.saturating_add(1);
        if self.dots > MAX_DOTS {
            errors.report_error(ParseError::new("too many dots in a key").with_unexpected(span));
        }
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots = 0;
    }

    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots = 0;
    }
}
