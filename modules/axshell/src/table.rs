//! Columns of text.

use alloc::string::String;
use alloc::vec::Vec;

/// Lines of `rows` under `head`, unless that is empty, with columns as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| String::from(*cell)).collect();
    let all = || core::iter::once(&head).filter(|head| !head.is_empty()).chain(rows);
    let mut widths: Vec<usize> = Vec::new();
    for row in all() {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count()).saturating_add(2);
            line.push_str(cell);
            line.extend(core::iter::repeat_n(' ', pad));
        }
        text.push_str(line.trim_end_matches(' '));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let rows = [["1".into(), "é".into()].into(), ["22".into(), String::new()].into()];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID  NAME\n1   é\n22\n");
        assert_eq!(table(&[], &[]), "");
    }
}
