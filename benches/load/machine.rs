//! The machine: which process runs on which core, what a process costs, on what disk its files are.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::{Pid, SysconfVar, sysconf},
};

use super::Outcome;

/// The core of whoever is measured: the service, the echo.
pub(crate) const SERVER: usize = 0;

/// The core of everybody else: the driver, the mail sink.
pub(crate) const CLIENT: usize = 1;

/// From now on this thread, and every thread it makes, runs on this core alone.
pub(crate) fn stay_on(core: usize) -> Outcome<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores)
        .map_err(|error| format!("two cores are needed, and core {core} cannot be had: {error}"))?;
    Ok(())
}

/// Starts a process that stays on this core: it takes over where the thread that starts it may run.
pub(crate) fn spawn_on(core: usize, command: &mut Command) -> Outcome<Child> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    stay_on(core)?;
    let child = command.spawn();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    let program = command.get_program().display();
    Ok(child.map_err(|error| format!("{program} cannot be started: {error}"))?)
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Time on the processor, in user and system mode.
    pub(crate) cpu: Duration,
    /// Bytes resident now.
    pub(crate) resident: u64,
}

/// Reads it off `/proc`.
pub(crate) fn usage(process: u32) -> Outcome<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold anything; the fields after it are numbers (proc(5)): utime and stime are 14 and 15.
    let (_, fields) = stat
        .rsplit_once(") ")
        .ok_or("/proc/PID/stat is not as expected")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |number: usize| -> Outcome<u64> {
        let text = fields.get(number - 3).ok_or("/proc/PID/stat is too short")?;
        Ok(text.parse()?)
    };
    let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
    let seconds = (ticks(14)? + ticks(15)?) as f64 / per_second as f64;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .ok_or("/proc/PID/status has no VmRSS")?;
    Ok(Usage {
        cpu: Duration::from_secs_f64(seconds),
        resident: resident.trim().parse::<u64>()? * 1024,
    })
}

/// The kind of file system that a directory is on, such as `ext4`; a figure from a `tmpfs` says nothing of durability.
pub(crate) fn file_system(directory: &Path) -> Outcome<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| directory.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned());
    Ok(kind.ok_or("no mount point is known")?)
}

/// The processor, as it calls itself.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.and_then(|rest| rest.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}
