//! docs/shell.md says what the command table says.

use super::*;
use crate::help;

const START: &str = "<!-- commands -->\n";
const END: &str = "<!-- end -->\n";

/// Ask for it with `UPDATE_DOCS=1 cargo test -p axshell docs`, which `make fmt` does, and the file is written.
#[test]
fn the_document_has_the_help_of_every_command() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/shell.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find(START).expect("the mark before the commands") + START.len();
    let end = text.find(END).expect("the mark behind the commands");
    let expected =
        format!("{}```text\n{}```\n{}", &text[..start], help::everything(), &text[end..]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/shell.md is not what the command table says: run `make fmt`"
        );
    }
}
