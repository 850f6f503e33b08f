//! Which host CPUs a vCPU may use and which number the guest knows it by: one item per vCPU.

use alloc::{format, vec::Vec};

use crate::{error::ConfigError, node::Node};

/// Host CPUs are numbered within one mask.
pub(crate) const HOST_CPUS: usize = usize::BITS as usize;

/// A list with one item for each vCPU.
fn per_vcpu<'s>(node: &Node<'s>, cpu_num: usize) -> Result<Vec<Node<'s>>, ConfigError> {
    let items = node.items()?;
    if items.len() == cpu_num {
        return Ok(items);
    }
    let message = format!("{} has {} items for {cpu_num} vCPUs", node.key, items.len());
    Err(node.error(message, format!("allowed: {cpu_num}, one for each vCPU")))
}

/// A list of numbers, a different one for each vCPU.
pub(crate) fn distinct(node: &Node<'_>, cpu_num: usize) -> Result<Vec<usize>, ConfigError> {
    let mut ids = Vec::new();
    for item in per_vcpu(node, cpu_num)? {
        let id = item.integer()?;
        if ids.contains(&id) {
            let message = format!("{} is {id:#x}, as another vCPU's", item.key);
            return Err(item.error(message, "allowed: a different number for each vCPU"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// A list of masks of host CPUs, one for each vCPU.
pub(crate) fn masks(node: &Node<'_>, cpu_num: usize) -> Result<Vec<usize>, ConfigError> {
    let mask = |item: &Node<'_>| match item.integer()? {
        0 => {
            Err(item.error(format!("{} cannot be 0", item.key), "allowed: a mask with a CPU in it"))
        }
        mask => Ok(mask),
    };
    per_vcpu(node, cpu_num)?.iter().map(mask).collect()
}

/// Host CPUs as a list: one list for all vCPUs, or a list of lists with one for each.
pub(crate) fn affinity(node: &Node<'_>, cpu_num: usize) -> Result<Vec<usize>, ConfigError> {
    let items = node.items()?;
    if items.first().is_some_and(|first| first.value.is_array()) {
        return per_vcpu(node, cpu_num)?.iter().map(host_cpus).collect();
    }
    Ok(alloc::vec![host_cpus(node)?; cpu_num])
}

fn host_cpus(node: &Node<'_>) -> Result<usize, ConfigError> {
    let items = node.items()?;
    if items.is_empty() {
        let message = format!("{} names no CPU", node.key);
        return Err(node.error(message, "allowed: a list such as [0, 1]"));
    }
    items.iter().try_fold(0, |mask, item| Ok(mask | 1 << item.integer_in(0..HOST_CPUS)?))
}
