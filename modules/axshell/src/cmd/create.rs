//! `vm create`

use alloc::string::String;

use crate::control::CreateOptions;
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};
use crate::units;

/// `vm create FILE...`
pub(crate) fn create(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let options = options(parsed).map_err(Failure::Usage)?;
    let dry = parsed.has("--dry-run");
    let only_dry = ["--dts", "--json"].into_iter().find(|name| parsed.has(name) && !dry);
    if let Some(name) = only_dry {
        return Err(Failure::Usage(alloc::format!("{name} goes with --dry-run only")));
    }
    if options.name.is_some() && parsed.words.len() > 1 {
        return Err(Failure::Usage("--name goes with one FILE only".into()));
    }
    if parsed.has("--json") && parsed.words.len() > 1 {
        return Err(Failure::Usage("--json goes with one FILE only".into()));
    }
    session.each(&parsed.words, |session, file| {
        if dry {
            return plan(session, parsed, file, &options);
        }
        let name = session.long(|control, progress| control.create(file, &options, progress))?;
        session.say(format_args!("created {name}"));
        Ok(())
    })
}

fn options(parsed: &Parsed) -> Result<CreateOptions, String> {
    let count = |text: &str| {
        units::parse_number(text).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0)
    };
    let memory = |text: &str| units::parse_size(text).filter(|bytes| *bytes > 0);
    Ok(CreateOptions {
        name: parsed.text("--name").map(String::from),
        memory_bytes: parsed.value("--memory", "a size such as 512M", memory)?,
        cpus: parsed.value("--cpus", "a number from 1 on", count)?,
        cmdline: parsed.text("--cmdline").map(String::from),
    })
}

fn plan(
    session: &mut Session<'_>,
    parsed: &Parsed,
    file: &str,
    options: &CreateOptions,
) -> Outcome {
    let plan = session.control.plan(file, options)?;
    if parsed.has("--json") {
        session.show(parsed, &plan.sections);
        return Ok(());
    }
    let text = if parsed.has("--dts") { &plan.device_tree } else { &plan.map };
    for line in text.lines() {
        session.say(format_args!("{line}"));
    }
    Ok(())
}
