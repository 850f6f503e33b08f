//! The corpus through every target: what was found once stays found, with stable Rust and no engine.

use std::path::Path;

use axle_fuzz::TARGETS;

/// The inputs of `target`: each with its length, 32 bits, before it.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{target}.inputs"));
    let packed = std::fs::read(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let mut rest = &*packed;
    let mut inputs = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (input, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty() && !inputs.is_empty());
    inputs
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let name = stringify!($name).replace('_', "-");
                let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
                for (number, input) in corpus(&name).iter().enumerate() {
                    println!("input {number}: {} bytes", input.len());
                    target(input);
                }
                target(&[]);
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name).replace('_', "-")),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(replayed));
        }
    };
}

replay! {
    bus config gicv2 gicv3 gpio image instruction keys lines memory pool trap tree_given tree_made uart vm watchdog
}
