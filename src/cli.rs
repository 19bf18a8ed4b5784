//! What was typed, and which command it means.
//!
//! Two steps: `Typed` is the line of arguments taken apart, with nothing understood; [`parse`] makes a
//! [`Command`] of it. A new command is a variant of [`Command`], an arm of the match in [`parse`], and a
//! row of `COMMANDS` for its help.

mod care;
mod layout;
mod tags;
mod typed;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, EXTRA_FLAGS, RULES, SETTINGS, did_you_mean, nearest};
use crate::digest::Digest;
use crate::gc;
use crate::layout::export::Export;
use crate::layout::import::Import;
use crate::name::RepositoryName;
use crate::pattern::TagPatterns;
use crate::reference::Tag;

use typed::Typed;

/// What the program is to do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Serve the registry.
    Serve(Box<Config>),
    /// Check the files.
    Verify {
        /// They are below this.
        root: PathBuf,
        /// Is what can be mended to be mended?
        repair: bool,
        /// The largest manifest that is accepted, in bytes: what is larger is taken for a blob.
        manifest_bytes_max: u64,
    },
    /// Sweep a root, or only say what would go.
    Gc {
        /// Where the files are.
        root: PathBuf,
        /// What goes.
        options: gc::Options,
        /// Is it to stay at words?
        dry_run: bool,
    },
    /// Say who uses how much below this root.
    Du(PathBuf),
    /// Show what a tag has been, or all tags of a repository.
    History {
        /// The files are below this.
        root: PathBuf,
        /// The repository.
        name: RepositoryName,
        /// The tag; or all.
        tag: Option<Tag>,
    },
    /// Set a tag to a manifest that the repository has.
    SetBack {
        /// The files are below this.
        root: PathBuf,
        /// The tags that stay what they are.
        immutable: TagPatterns,
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest; or what the tag was before.
        digest: Option<Digest>,
    },
    /// Take a layout into the registry below this root.
    Import {
        /// The files are below this.
        root: PathBuf,
        /// The tags that stay what they are.
        immutable: TagPatterns,
        /// Where the layout is.
        layout: PathBuf,
        /// What of it, and where to.
        import: Import,
    },
    /// Write content of the registry below this root as a layout.
    Export {
        /// The files are below this.
        root: PathBuf,
        /// Where the layout comes.
        layout: PathBuf,
        /// What of it, and how.
        export: Export,
    },
    /// Print this text on standard output.
    Help(String),
    /// Print the version on standard output.
    Version,
}

/// Why what was typed or configured means nothing: a line that names the thing, and one that says where
/// help is. Nothing has been done yet; the exit status for it is 2.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError {
    message: String,
    /// The command that tells more.
    hint: String,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nSee {}", self.message, self.hint)
    }
}

impl std::error::Error for UsageError {}

/// What the help says of a command.
struct Page {
    name: &'static str,
    about: &'static str,
    text: fn() -> String,
}

const COMMANDS: &[Page] = &[
    Page {
        name: "serve",
        about: "Serve the registry until SIGTERM or SIGINT. So does no command at all.",
        text: serve_help,
    },
    Page {
        name: "verify",
        about: "Check every name against its bytes and every tag to its last layer.",
        text: care::verify_help,
    },
    Page {
        name: "gc",
        about: "Free what nothing refers to any more, beside running servers.",
        text: care::gc_help,
    },
    Page {
        name: "du",
        about: "Show which bytes each repository holds alone, and which it shares.",
        text: care::du_help,
    },
    Page { name: "history", about: "Show what a tag has been, and since when.", text: tags::history_help },
    Page { name: "set-back", about: "Set a tag to what it was before.", text: tags::set_back_help },
    Page {
        name: "import",
        about: "Take images from an OCI image layout or from what docker save wrote.",
        text: layout::import_help,
    },
    Page {
        name: "export",
        about: "Write images as an OCI image layout, a directory or an archive.",
        text: layout::export_help,
    },
    Page { name: "help", about: "Show this text, or with the name of a command, its own.", text: overview },
];

const HINT: &str = "registry --help";

/// Finds the command in the arguments (without the program's name), and its configuration in them, in the
/// environment and in the file that is read with `read_file`.
///
/// # Errors
/// An unknown command or flag, a flag without its value, and all that [`Config::load`] refuses.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
) -> Result<Command, UsageError> {
    let arguments = arguments.into_iter().map(OsString::into_string).collect::<Result<Vec<_>, _>>();
    let arguments = arguments.map_err(|raw| general(format!("{raw:?} is not UTF-8")))?;
    let (command, rest) = match arguments.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (Some(first.as_str()), rest),
        _ => (None, &arguments[..]),
    };
    let is_typed = |names: [&str; 2]| rest.iter().any(|argument| names.contains(&argument.as_str()));
    if is_typed(["--help", "-h"]) {
        return help(command);
    }
    if is_typed(["--version", "-V"]) {
        return Ok(Command::Version);
    }
    let load =
        |typed: &Typed| Config::load(&typed.flags, environment, read_file).map_err(|why| why.to_string());
    let command = command.unwrap_or("serve");
    let parsed = match command {
        "help" => {
            return match rest {
                [] => help(None),
                [command] => help(Some(command)),
                [_, more, ..] => Err(general(format!("help takes one command, so what is {more:?}?"))),
            };
        }
        "serve" => serve(rest, load),
        "verify" => care::verify(rest, load),
        "gc" => care::gc(rest, load),
        "du" => care::du(rest, load),
        "history" => tags::history(rest, load),
        "set-back" => tags::set_back(rest, load),
        "import" => layout::import(rest, load),
        "export" => layout::export(rest, load),
        other => return Err(unknown_command(other)),
    };
    parsed.map_err(|message| UsageError { message, hint: format!("registry {command} --help") })
}

/// What came of the arguments of one command. Its help is the hint.
type Parsed = Result<Command, String>;

/// What all commands but `serve` want to know: where the files are.
const ROOT_FLAGS: &[&str] = &["--root DIR", "--config FILE"];

fn serve(arguments: &[String], load: impl FnOnce(&Typed) -> Result<Config, String>) -> Parsed {
    let typed = Typed::parse(arguments, &setting_flags())?;
    match typed.operands.first() {
        None => Ok(Command::Serve(Box::new(load(&typed)?))),
        Some(operand) => Err(format!("serve takes flags only, so what is {operand:?}?")),
    }
}

fn help(command: Option<&str>) -> Result<Command, UsageError> {
    let Some(command) = command else { return Ok(Command::Help(overview())) };
    match COMMANDS.iter().find(|page| page.name == command) {
        Some(page) => Ok(Command::Help((page.text)())),
        None => Err(unknown_command(command)),
    }
}

fn unknown_command(given: &str) -> UsageError {
    let names = COMMANDS.iter().map(|page| page.name);
    let near = did_you_mean(nearest(given, names.clone()));
    let all = names.collect::<Vec<_>>().join(", ");
    general(format!("{given:?} is not a command{near}; there are {all}"))
}

fn general(message: String) -> UsageError {
    UsageError { message, hint: HINT.to_owned() }
}

fn setting_flags() -> Vec<&'static str> {
    let extra = EXTRA_FLAGS.iter().map(|(flag, _)| *flag);
    extra.chain(SETTINGS.iter().map(|setting| setting.flag_and_value())).collect()
}

// ---- the help, at most 100 columns wide

fn overview() -> String {
    let mut text = String::from(
        "registry: a container registry that keeps everything as plain files\n\n\
         Usage: registry [COMMAND] [FLAGS]\n\nCommands:\n",
    );
    for Page { name, about, .. } in COMMANDS {
        text += &format!("  {name:<10}{about}\n");
    }
    text += "\nEvery command has its own --help (-h). --version (-V) shows the version.\n\n";
    text + &settings_help() + EXAMPLES
}

fn serve_help() -> String {
    String::from("Usage: registry [serve] [FLAGS]\n\nServes the registry until SIGTERM or SIGINT.\n\n")
        + &settings_help()
        + EXAMPLES
}

const EXAMPLES: &str = "\
Examples:
  registry                                        serve ./testdata on 127.0.0.1:5080
  registry --listen 0.0.0.0:5080 --root /srv/registry
  REGISTRY_LOGGING_FORMAT=json registry serve --config registry.json

A registry.json:
  {\"server\": {\"port\": 5080, \"idle_timeout\": \"2m\"},
   \"storage\": {\"path\": \"/srv/registry\"},
   \"auth\": {\"htpasswd\": \"/etc/registry/users\", \"rules\": [
     {\"user\": \"anyone\", \"repository\": \"public/**\", \"pull\": true},
     {\"user\": \"alice\", \"repository\": \"**\", \"pull\": true, \"push\": true, \"delete\": true}]},
   \"tags\": {\"immutable\": [\"library/*:v*\", \"**:release-*\"]}}
";

fn settings_help() -> String {
    let mut text = String::from(
        "Flags, written --flag VALUE or --flag=VALUE, override environment variables, which override the\n\
         file, which overrides the defaults. Times: 500ms, 60s, 2m, 1h. Sizes: bytes, 512KiB, 8MiB, 1GiB.\n\n",
    );
    for (flag, about) in EXTRA_FLAGS {
        text += &entry(flag, about.lines());
    }
    let mut section = "";
    for setting in SETTINGS {
        if section != setting.section {
            section = setting.section;
            text += &format!("\n{section}:\n");
        }
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let names = format!("[{default}]  {}  {}", setting.name(), setting.variable());
        text += &entry(
            setting.flag_and_value(),
            setting.help.iter().map(|line| line.trim()).chain([names.as_str()]),
        );
        if setting.name() == "auth.trusted_proxies" {
            text += &entry(RULES.0, RULES.1.iter().copied());
        }
    }
    text + "\n"
}

/// A flag on the left, the lines about it on the right.
fn entry<'a>(flag: &str, lines: impl Iterator<Item = &'a str>) -> String {
    let left = std::iter::once(flag).chain(std::iter::repeat(""));
    left.zip(lines).map(|(left, line)| format!("  {left:<23}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without environment or file.
    fn typed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from), [], |_| panic!("no file was named"))
    }

    #[track_caller]
    fn check_serve(line: &str, expect: fn(&mut Config)) {
        let mut config = Config::default();
        expect(&mut config);
        assert_eq!(typed(line), Ok(Command::Serve(Box::new(config))), "{line}");
    }

    #[track_caller]
    fn check_refused(line: &str, message: &str) {
        assert_eq!(typed(line).unwrap_err().message, message, "{line}");
    }

    #[track_caller]
    fn help_of(line: &str) -> String {
        match typed(line) {
            Ok(Command::Help(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn serve_is_what_no_command_means() {
        check_serve("", |_| {});
        check_serve("serve", |_| {});
        check_serve("--port 80", |config| config.server.port = 80);
        check_serve("serve --port=80 --root a=b", |config| {
            config.server.port = 80;
            config.storage.path = "a=b".into();
        });
    }

    #[test]
    fn the_commands_that_take_care_take_their_folder_with_a_flag_or_without() {
        for line in [" --root store", " store"] {
            let verify = Command::Verify { root: "store".into(), repair: false, manifest_bytes_max: 8 << 20 };
            assert_eq!(typed(&format!("verify{line}")), Ok(verify));
            assert_eq!(typed(&format!("du{line}")), Ok(Command::Du("store".into())));
        }
        let here =
            |repair| Ok(Command::Verify { root: "testdata".into(), repair, manifest_bytes_max: 8 << 20 });
        assert_eq!(typed("verify"), here(false));
        assert_eq!(typed("verify --repair"), here(true));
        assert_eq!(typed("verify --repair --repair=false"), here(false));
        check_refused("verify --repair=yes", "--repair: \"yes\" is not true or false");
    }

    #[test]
    fn gc_takes_its_settings_without_their_section() {
        let check = |line: &str, expect: fn(&mut Config), expect_dry: bool| {
            let mut config = Config::default();
            expect(&mut config);
            let (root, options) = (config.storage.path.clone(), config.gc.options());
            assert_eq!(typed(line), Ok(Command::Gc { root, options, dry_run: expect_dry }), "{line}");
        };
        check("gc", |_| {}, false);
        check("gc a", |config| config.storage.path = "a".into(), false);
        check(
            "gc --dry-run --root a --grace 5m",
            |config| {
                config.storage.path = "a".into();
                config.gc.grace = std::time::Duration::from_secs(300);
            },
            true,
        );
        check(
            "gc --untagged --dry-run --dry-run=false --upload-max-age=1s",
            |config| {
                config.gc.untagged = true;
                config.gc.upload_max_age = std::time::Duration::from_secs(1);
            },
            false,
        );
        check_refused("gc --interval 1h", "--interval is not a flag");
        check_refused("serve --grace 1h", "--grace is not a flag (did you mean --gc-grace?)");
        for (line, expect) in
            [("gc -h", care::gc_help()), ("help gc", care::gc_help()), ("du --help", care::du_help())]
        {
            assert_eq!(help_of(line), expect);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        check_refused(
            "server",
            "\"server\" is not a command (did you mean serve?); there are serve, verify, gc, du, history, set-back, import, export, help",
        );
        check_refused(
            "frobnicate",
            "\"frobnicate\" is not a command; there are serve, verify, gc, du, history, set-back, import, export, help",
        );
        check_refused(
            "help frobnicate",
            "\"frobnicate\" is not a command; there are serve, verify, gc, du, history, set-back, import, export, help",
        );
        check_refused(
            "frobnicate --help",
            "\"frobnicate\" is not a command; there are serve, verify, gc, du, history, set-back, import, export, help",
        );
        check_refused("help serve me", "help takes one command, so what is \"me\"?");
        check_refused("verify one two", "verify takes one folder, so what is \"two\"?");
        check_refused("verify one --root two", "verify takes one folder, so what is \"one\"?");
        check_refused("verify --port 80", "--port is not a flag (did you mean --root?)");
        check_refused("serve testdata", "serve takes flags only, so what is \"testdata\"?");
        check_refused("--prot 80", "--prot is not a flag (did you mean --port?)");
        check_refused("--frobnicate=1", "--frobnicate is not a flag");
        check_refused("-p 80", "-p is not a flag");
        check_refused("--port", "--port needs a value: --port PORT");
        check_refused("--root --port 80", "--root needs a value: --root DIR");
        check_refused("--port abc", "--port: \"abc\" is not a port: a number from 0 to 65535");
        assert_eq!(
            typed("--prot 1").unwrap_err().to_string().lines().last(),
            Some("See registry serve --help")
        );
    }

    #[test]
    fn a_switch_takes_no_value() {
        let arguments = ["--repair", "store", "--repair=false"].map(String::from);
        let typed = Typed::parse(&arguments, &["--root DIR", "--repair"]).unwrap();
        let flags = [("--repair", "true"), ("--repair", "false")].map(|(f, v)| (f.to_owned(), v.to_owned()));
        assert_eq!(typed, Typed { flags: flags.into(), operands: vec!["store".into()] });
    }

    #[test]
    fn help_and_version_win_over_mistakes() {
        assert_eq!(help_of("--help"), overview());
        assert_eq!(help_of("--prot 1 -h"), overview());
        assert_eq!(help_of("help"), overview());
        assert_eq!(help_of("help serve"), serve_help());
        assert_eq!(help_of("serve --help"), serve_help());
        assert_eq!(typed("--version"), Ok(Command::Version));
        assert_eq!(typed("serve -V"), Ok(Command::Version));
    }

    #[test]
    fn the_help_is_complete_and_fits_a_terminal() {
        let pages = COMMANDS.iter().map(|page| (page.text)());
        for line in pages.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
            assert!(line.len() <= 100 && line.is_ascii() && line == line.trim_end(), "{line:?}");
        }
        for text in [overview(), serve_help()] {
            for setting in SETTINGS {
                for part in [setting.flag_and_value(), &setting.name(), &setting.variable(), setting.default]
                {
                    assert!(text.contains(part), "{part}");
                }
            }
            assert!(text.contains(RULES.0));
        }
        for Page { name, .. } in COMMANDS {
            assert!(overview().contains(&format!("\n  {name} ")), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn arguments_and_our_variables_are_utf8() {
        use std::os::unix::ffi::OsStringExt;
        let bad = OsString::from_vec(vec![b'a', 0xff]);
        let error = parse([bad.clone()], [], |_| panic!()).unwrap_err();
        assert_eq!(error.message, r#""a\xFF" is not UTF-8"#);
        let error = parse([], [("REGISTRY_STORAGE_PATH".into(), bad.clone())], |_| panic!()).unwrap_err();
        assert_eq!(error.message, r#"REGISTRY_STORAGE_PATH: "a\xFF" is not UTF-8"#);
        let not_ours = [("PATH".into(), bad.clone()), (bad.clone(), bad)];
        assert_eq!(parse([], not_ours, |_| panic!()), Ok(Command::Serve(Box::default())));
    }
}
