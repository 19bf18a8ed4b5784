//! The rules of the house, read off the source. A rule that is in the way is changed here, with its reason.

use std::fs;
use std::path::Path;

/// A source file.
struct Source {
    /// Below the project's folder: `src/store/disk.rs`.
    path: String,
    /// As it is.
    text: String,
    /// Without comments and without the tests at its end; as many lines as up to there.
    code: String,
}

/// All Rust files below a folder of the project.
fn sources(folder: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut sources) = (vec![top.join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\n").next().unwrap().lines().map(without_comment);
                let code = code.collect::<Vec<_>>().join("\n");
                let path = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text, code });
            }
        }
    }
    assert!(!sources.is_empty(), "{folder}");
    sources
}

/// `//` in a string is taken for a comment too, which hides no more than the rest of its line.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Does `code` name `word`, and not a longer one that contains it?
fn names(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Only these files (or all below a folder, written with a slash behind) may name these words; each of them does,
/// so that the list does not grow old.
#[track_caller]
fn only(allowed: &[&str], words: &[&str]) {
    let may = |path: &str| allowed.iter().any(|a| path == *a || a.ends_with('/') && path.starts_with(a));
    let mut used = vec![false; allowed.len()];
    for source in sources("src") {
        for word in words.iter().filter(|word| names(&source.code, word)) {
            assert!(may(&source.path), "{} names {word}, but only {allowed:?} may", source.path);
            for (used, allowed) in used.iter_mut().zip(allowed) {
                *used |= source.path.starts_with(allowed);
            }
        }
    }
    for (used, allowed) in used.iter().zip(allowed) {
        assert!(used, "{allowed} need not be allowed to name any of {words:?}");
    }
}

// ---- who knows whom

#[test]
fn one_file_names_the_http_library() {
    only(&["src/http.rs"], &["tiny_http"]);
}

#[test]
fn one_file_computes_passwords() {
    only(&["src/auth/htpasswd.rs"], &["bcrypt"]);
}

#[test]
fn one_module_reads_and_writes_archives() {
    only(&["src/layout/archive/"], &["tar::Builder", "tar::EntryType", "tar::Header", "flate2"]);
}

#[test]
fn one_place_talks_to_the_operating_system() {
    only(&["src/system.rs", "src/system/"], &["libc", "unsafe", "unsafe_code"]);
    for source in sources("tests") {
        let itself = source.path.ends_with("tidy.rs");
        assert!(itself || !names(&source.code, "unsafe"), "{}", source.path);
    }
}

#[test]
fn one_module_names_renames_removes_and_syncs_files() {
    only(
        &["src/store/disk.rs", "src/store/disk/"],
        &[
            "fs::rename",
            "fs::remove_file",
            "fs::remove_dir",
            "fs::remove_dir_all",
            "fs::hard_link",
            "symlink",
            "fs::create_dir",
            "fs::create_dir_all",
            "fs::write",
            "fs::copy",
            "File::create",
            "create_new",
            "create(true)",
            "set_permissions",
            "set_len",
            "set_modified",
            "sync_all",
            "sync_data",
        ],
    );
}

#[test]
fn only_the_store_touches_files() {
    let allowed = [
        "src/store.rs",
        "src/store/",
        "src/main.rs",       // reads the configuration file
        "src/auth/users.rs", // reads the htpasswd file, and again when it changes
        "src/response.rs",   // sends a file that the store has opened
        "src/connections/outgoing.rs",
        "src/layout/", // reads layouts, and writes them by way of store::disk; they lie outside of the root
    ];
    only(&allowed, &["std::fs"]);
}

#[test]
fn the_api_and_what_is_above_it_know_no_paths() {
    let above = ["src/api.rs", "src/api/", "src/server.rs", "src/http.rs", "src/response.rs", "src/route.rs"];
    for source in sources("src").iter().filter(|source| above.iter().any(|a| source.path.starts_with(a))) {
        for word in ["Path", "PathBuf", "std::path", "std::fs"] {
            let sends = source.path == "src/response.rs" && word == "std::fs";
            assert!(sends || !names(&source.code, word), "{} names {word}", source.path);
        }
    }
}

#[test]
fn the_store_knows_no_http() {
    for source in sources("src").iter().filter(|source| source.path.starts_with("src/store")) {
        for word in ["status", "Response", "Request", "http", "Route", "header", "TcpStream"] {
            assert!(!names(&source.code, word), "{} names {word}", source.path);
        }
    }
}

#[test]
fn the_vocabulary_does_no_io_and_knows_nobody() {
    let vocabulary = [
        "src/base64.rs",
        "src/descriptor.rs",
        "src/digest.rs",
        "src/error.rs",
        "src/json.rs",
        "src/json/",
        "src/manifest.rs",
        "src/name.rs",
        "src/pattern.rs",
        "src/percent.rs",
        "src/range.rs",
        "src/reference.rs",
        "src/route.rs",
    ];
    for source in sources("src").iter().filter(|source| vocabulary.iter().any(|v| source.path.starts_with(v)))
    {
        for word in [
            "std::fs",
            "std::net",
            "std::env",
            "std::thread",
            "File",
            "Mutex",
            "store",
            "api",
            "http",
            "server",
        ] {
            assert!(!names(&source.code, &format!("crate::{word}")), "{} uses {word}", source.path);
            assert!(
                word.chars().all(char::is_lowercase) || !names(&source.code, word),
                "{}: {word}",
                source.path
            );
        }
    }
}

#[test]
fn the_dependencies_are_those_that_were_agreed() {
    let cargo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = cargo.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let mut names: Vec<&str> = section
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(['=', ' ', '.']).next().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["bcrypt", "flate2", "getrandom", "libc", "serde_json", "sha2", "tar", "tiny_http"]);
    let (_, after_four) = section.split_once("getrandom").unwrap();
    let (reason, _) = after_four.split_once("\nlibc").unwrap();
    assert!(reason.lines().any(|line| line.starts_with('#')), "a further one needs its reason");
}

// ---- size and form

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Longer files, each with the number of lines it may have, and why.
const LONG_FILES: &[(&str, usize)] = &[
    ("src/error.rs", 580), // three matches over one enum, which lose their point when they are apart
    ("src/config.rs", 480), // one table of all that can be set, grown by as much as there is to set
    ("src/store/disk.rs", 430), // every step on the disk, whose point is that there are no others
];

/// Longer functions, and why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("src/error.rs", "fmt"), // one arm for each error: its message
];

/// Without the tests at the end. A file of tests counts whole.
#[test]
fn files_fit_into_a_head() {
    for source in sources("src").iter().chain(&sources("tests")) {
        let lines = source.code.lines().count();
        let limit = LONG_FILES
            .iter()
            .find(|(path, _)| *path == source.path)
            .map_or(FILE_LINES_MAX, |(_, limit)| *limit);
        assert!(lines <= limit, "{} has {lines} lines, more than {limit}", source.path);
    }
    for (path, _) in LONG_FILES {
        let source = sources("src").into_iter().find(|source| source.path == *path).expect(path);
        assert!(source.code.lines().count() > FILE_LINES_MAX, "{path} is no longer long");
    }
}

/// The functions of a formatted file: name and number of lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    let (mut functions, lines) = (Vec::new(), code.lines().collect::<Vec<_>>());
    for (start, line) in lines.iter().enumerate() {
        let before_name = line.split_once("fn ").filter(|(before, _)| {
            before.split_whitespace().all(|word| {
                word.starts_with("pub")
                    || ["const", "unsafe", "extern", "\"C\"", "crate)", "super)"].contains(&word)
            })
        });
        let Some((_, rest)) = before_name else { continue };
        let name = rest.split(['(', '<']).next().unwrap().to_owned();
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let is_one_line = line.ends_with('}') || line.ends_with(';');
        let length = lines[start..].iter().position(|line| *line == end).filter(|_| !is_one_line);
        functions.push((name, length.map_or(1, |length| length + 1)));
    }
    functions
}

#[test]
fn functions_fit_on_a_screen() {
    let mut count = 0;
    for source in sources("src").iter().chain(&sources("tests")) {
        for (name, lines) in functions(&source.code) {
            let is_known = LONG_FUNCTIONS.contains(&(source.path.as_str(), name.as_str()));
            assert!(lines <= FUNCTION_LINES_MAX || is_known, "{}: {name} has {lines} lines", source.path);
            count += 1;
        }
    }
    assert!(count > 500, "{count} functions: are they found at all?");
}

#[test]
fn every_file_says_at_its_top_what_it_is() {
    for source in sources("src").iter().chain(&sources("tests")) {
        assert!(source.text.starts_with("//! ") && !source.text.starts_with("//! \n"), "{}", source.path);
    }
}

#[test]
fn nothing_is_put_off_and_no_test_left_out() {
    for source in sources("src").iter().chain(&sources("tests")) {
        for word in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
            concat!("#[ig", "nore"),
            concat!("dbg", "!("),
        ] {
            assert!(!source.text.contains(word), "{} has a {word}", source.path);
        }
    }
}

/// Tests wait for something, with `eventually`; nobody knows how long is long enough. (One kills at a random time.)
#[test]
fn no_test_sleeps_and_hopes() {
    for source in sources("tests") {
        let waits = [
            "tests/it/harness.rs",
            "tests/it/tidy.rs",
            "tests/it/server.rs", // slow clients are its subject
            "tests/crash/kill.rs",
            "tests/bench/harness/servers.rs", // no test
        ];
        let waits = waits.contains(&source.path.as_str());
        assert!(waits || !names(&source.code, "sleep"), "{} sleeps", source.path);
    }
}

#[test]
fn every_test_file_stands_in_the_index() {
    let sources = sources("tests/it");
    let main = &sources.iter().find(|source| source.path.ends_with("/main.rs")).unwrap().text;
    for source in &sources {
        let name = source.path.trim_start_matches("tests/it/").trim_end_matches(".rs");
        if name == "main" || name.contains('/') {
            continue; // a file in a folder is of the file that the folder is named after
        }
        assert!(main.contains(&format!("\nmod {name};\n")), "{name} is not compiled");
        assert!(
            name == "harness" || main.contains(&format!("//! - [`{name}`]: ")),
            "{name} is not in the index"
        );
    }
}
