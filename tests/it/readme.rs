//! The README tells the truth: what it quotes is what the program says, and what it names is there.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_help_in_the_readme_is_the_programs() {
    let output = Command::new(env!("CARGO_BIN_EXE_registry")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(readme().contains(&help), "README.md should have this:\n{help}");
}

#[test]
fn the_commands_in_the_readme_are_in_the_makefile() {
    let readme = readme();
    let makefile = read("Makefile");
    let mut found = 0;
    for target in words_after(&readme, "make ") {
        assert!(makefile.contains(&format!("\n{target}:")), "README.md names `make {target}`");
        found += 1;
    }
    assert!(found > 5, "README.md names the commands to use");
}

#[test]
fn the_tests_in_the_readme_exist() {
    let tests: String = ["tests/it", "tests/it/gc", "tests/it/layout", "tests/it/wire"]
        .iter()
        .flat_map(|folder| fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap())
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
        .collect();
    let readme = readme();
    let rows = readme.lines().filter(|line| line.starts_with("| ") && line.contains(" | `"));
    let names: Vec<&str> =
        rows.flat_map(|row| row.split('`')).filter(|word| word.matches('_').count() > 3).collect();
    assert!(names.len() > 50, "each endpoint and each class of bad input has a row");
    for name in names {
        assert!(tests.contains(&format!("fn {name}()")), "README.md names the test {name}");
    }
}

#[test]
fn the_files_in_the_readme_exist() {
    for path in words_after(&readme(), "`src/") {
        if !path.contains('*') {
            assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&path).exists(),
                "README.md names src/{path}"
            );
        }
    }
}

/// The words that follow `start` in code: up to a blank or the end of the quote.
fn words_after(text: &str, start: &str) -> Vec<String> {
    let ends = |character: char| character.is_whitespace() || character == '`';
    let code = text.lines().filter(|line| line.contains('`') || line.starts_with("$ "));
    let starts = code.flat_map(|line| line.split(start).skip(1));
    starts
        .filter_map(|rest| rest.split(ends).next())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn readme() -> String {
    read("README.md")
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
