//! Tells the linker to make a position-independent image laid out by `link.ld`.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".into());
    println!("cargo:rerun-if-changed=link.ld");
    // The compiler's output is static code that reaches everything relative to the PC; the few absolute
    // pointers (formatting tables, slices of strings) become relocations that boot.s applies.
    let args = [
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "-znorelro",
        "--gc-sections",
        "--build-id=none",
    ];
    for arg in args {
        println!("cargo:rustc-link-arg={arg}");
    }
    println!("cargo:rustc-link-arg=-T{here}/link.ld");
}
