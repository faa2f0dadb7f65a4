//! One file from the hub into the cache: checked, then renamed.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inpo_data::DataError;

use super::Failure;
use super::cache::Repository;
use super::client::{Fault, Hub, Opened};
use super::digest::{Hasher, Stated, Sum};
use crate::{Progress, Watch};

/// How often a file is asked for again without this much progress in between, and the first wait, which doubles.
const RETRIES: u32 = 5;
const PROGRESS: u64 = 1 << 20;
const WAIT: Duration = Duration::from_millis(500);

/// The largest file that is not of weights, in bytes.
const LARGEST_TEXT: u64 = 256 << 20;

/// Where a file is on the hub and in the cache.
pub(super) struct Source<'a> {
    pub(super) hub: &'a Hub,
    pub(super) id: &'a str,
    pub(super) commit: &'a str,
    pub(super) cache: &'a Repository,
}

/// A try that ended: bytes that it added, and why.
struct Ended {
    progress: u64,
    fault: Fault,
}

impl Source<'_> {
    /// The path of `file` in the snapshot, whose contents are those that the hub states.
    ///
    /// # Errors
    ///
    /// What the hub did, with the file's name; a file that cannot be written.
    pub(super) fn fetch(
        &self,
        file: &str,
        stated: &Stated,
        watch: Watch<'_>,
    ) -> Result<PathBuf, Failure> {
        let fetched = self.fetch_blob(file, stated, watch);
        watch(Progress::End);
        let sum = fetched.map_err(|fault| match fault.into() {
            Failure::Hub(reason) => Failure::Hub(format!("{file}: {reason}")),
            disk => disk,
        })?;
        Ok(self.cache.link(sum.digits(), self.commit, file)?)
    }

    fn fetch_blob(&self, file: &str, stated: &Stated, watch: Watch<'_>) -> Result<Sum, Fault> {
        if let (Some(sum), Some(bytes)) = (&stated.sum, stated.bytes)
            && is_whole(&self.cache.blob(sum.digits()), sum, bytes)
        {
            return Ok(sum.clone());
        }
        let (mut tries, mut wait) = (0, WAIT);
        loop {
            let ended = match self.one_try(file, stated, watch) {
                Ok(sum) => return Ok(sum),
                Err(ended) => ended,
            };
            if ended.progress >= PROGRESS {
                (tries, wait) = (0, WAIT);
            }
            tries += 1;
            match ended.fault {
                Fault::Passing(_) if tries <= RETRIES => std::thread::sleep(wait),
                fault => return Err(fault),
            }
            wait *= 2;
        }
    }

    fn one_try(&self, file: &str, listed: &Stated, watch: Watch<'_>) -> Result<Sum, Ended> {
        let stop = |fault: Fault| Ended { progress: 0, fault };
        let fail = |reason: String| stop(Fault::Permanent(reason));
        let partial = |sum: &Sum| self.cache.blob(&format!(".partial-{}", sum.digits()));
        let here = listed.sum.as_ref().and_then(|sum| size(&partial(sum)));
        let from = here.filter(|here| listed.bytes.is_some_and(|bytes| *here < bytes));
        let from = from.unwrap_or(0);
        let bytes = listed.bytes.unwrap_or(0);
        let opened = self.hub.file(self.id, self.commit, file, from, bytes);
        let Opened { response, stated } = opened.map_err(stop)?;
        let stated = listed.clone().or(stated);
        let sum = stated.sum.ok_or_else(|| {
            fail(
                "the hub states neither a sha256 nor git's digest, so that it cannot be checked"
                    .to_owned(),
            )
        })?;
        let range = range(&response);
        let length = response.body().content_length();
        let bytes = stated.bytes.or(range.map(|(_, whole)| whole)).or(length);
        let bytes = bytes.ok_or_else(|| fail("the hub does not state its size".to_owned()))?;
        if !file.ends_with(".safetensors") && bytes > LARGEST_TEXT {
            return Err(fail(format!(
                "it has {bytes} bytes, and at most {LARGEST_TEXT} are read"
            )));
        }
        let start = match (response.status().as_u16(), range) {
            (200, _) => 0,
            (206, Some((start, _))) if start == from => from,
            _ => {
                return Err(fail(
                    "the hub sends another part of it than was asked for".to_owned(),
                ));
            }
        };
        if let Some(length) = length.filter(|length| start.saturating_add(*length) != bytes) {
            let come = start.saturating_add(length);
            return Err(fail(format!(
                "{come} bytes come, and the hub states {bytes}"
            )));
        }
        let mut target = Partial::open(partial(&sum), start, &sum, bytes)
            .map_err(|error| stop(Fault::Disk(error)))?;
        watch(Progress::Begin {
            what: &format!("fetching {file}"),
            bytes,
        });
        let body = response.into_body().into_reader();
        let added = target.append(body, watch);
        let progress = target.bytes - start;
        let ended = |fault: Fault| Ended { progress, fault };
        added.map_err(ended)?;
        target
            .finish(&self.cache.blob(sum.digits()))
            .map_err(|fault| {
                ended(match fault {
                    // What was begun earlier may be what is wrong.
                    Fault::Permanent(reason) if start > 0 => Fault::Passing(reason),
                    fault => fault,
                })
            })?;
        Ok(sum)
    }
}

fn size(path: &Path) -> Option<u64> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// The first byte and the size of the whole file in `Content-Range`.
fn range(response: &ureq::http::Response<ureq::Body>) -> Option<(u64, u64)> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    let (part, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = part.split_once('-')?;
    Some((start.parse().ok()?, whole.parse().ok()?))
}

/// Whether a blob that is there has its digest.
fn is_whole(path: &Path, sum: &Sum, bytes: u64) -> bool {
    let read = || -> std::io::Result<Hasher> {
        let mut hasher = Hasher::new(sum, bytes);
        hash(&mut File::open(path)?, &mut hasher)?;
        Ok(hasher)
    };
    size(path) == Some(bytes) && read().is_ok_and(|hasher| hasher.check(sum).is_ok())
}

fn hash(file: &mut File, hasher: &mut Hasher) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A file that is being fetched.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    sum: Sum,
    /// Those that are there.
    bytes: u64,
    /// Those of the whole file.
    whole: u64,
}

impl Partial {
    /// With the first `start` bytes of an earlier try.
    fn open(path: PathBuf, start: u64, sum: &Sum, whole: u64) -> Result<Self, DataError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(DataError::write(dir))?;
        }
        let wrong = DataError::write(&path);
        let open = || -> std::io::Result<(File, Hasher)> {
            let mut hasher = Hasher::new(sum, whole);
            if start == 0 {
                // Whatever stands there is replaced and not followed.
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error);
                    }
                    _ => {}
                }
                let file = File::options().write(true).create_new(true).open(&path)?;
                return Ok((file, hasher));
            }
            let mut file = File::options().read(true).write(true).open(&path)?;
            hash(&mut file, &mut hasher)?;
            file.seek(std::io::SeekFrom::Start(start))?;
            Ok((file, hasher))
        };
        let (file, hasher) = open().map_err(wrong)?;
        let (sum, bytes) = (sum.clone(), start);
        Ok(Self {
            path,
            file,
            hasher,
            sum,
            bytes,
            whole,
        })
    }

    fn append(&mut self, mut body: impl Read, watch: Watch<'_>) -> Result<(), Fault> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            watch(Progress::At(self.bytes));
            let count = body
                .read(&mut buffer)
                .map_err(|error| Fault::of(&ureq::Error::from(error)))?;
            if count == 0 {
                break;
            }
            self.bytes += count as u64;
            if self.bytes > self.whole {
                self.remove();
                let whole = self.whole;
                return Err(Fault::Permanent(format!(
                    "it is longer than the {whole} bytes that the hub states"
                )));
            }
            let written = self.file.write_all(&buffer[..count]);
            written.map_err(|error| Fault::Disk(DataError::write(&self.path)(error)))?;
            self.hasher.update(&buffer[..count]);
        }
        if self.bytes < self.whole {
            let (bytes, whole) = (self.bytes, self.whole);
            return Err(Fault::Passing(format!(
                "it broke off after {bytes} of {whole} bytes"
            )));
        }
        Ok(())
    }

    /// Renames the whole file to `blob`; removes it where it is another one.
    fn finish(self, blob: &Path) -> Result<(), Fault> {
        let Self {
            path,
            file,
            hasher,
            sum,
            ..
        } = self;
        if let Err(reason) = hasher.check(&sum) {
            let _ = std::fs::remove_file(&path);
            return Err(Fault::Permanent(reason));
        }
        let kept = file.sync_all().and_then(|()| std::fs::rename(&path, blob));
        kept.map_err(|error| Fault::Disk(DataError::write(blob)(error)))
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
