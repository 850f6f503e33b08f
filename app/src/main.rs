#![no_std]
#![no_main]
extern crate alloc;
extern crate ax_runtime as _;

#[unsafe(no_mangle)]
fn main() {
    let out = ax_runtime::console::output().unwrap();
    out.write_all(b"hello from axle\r\n").unwrap();
    ax_runtime::terminate();
}
