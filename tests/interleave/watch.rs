//! Builds a module with watched atomics and locks.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(interleave)");
    println!("cargo::rustc-cfg=interleave");
}
