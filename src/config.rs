//! The configuration: what may be set, and from where.
//!
//! Flags override the environment, which overrides the file, which overrides the defaults. All four are
//! driven by one table, the call of `settings!` below. A row of it is a field of [`Config`], a key of the
//! file (`server.port`), an environment variable (`REGISTRY_SERVER_PORT`), a flag (`--port`), a default
//! and an entry of `--help`, so a new setting is one new row.
//!
//! Nothing is ignored quietly: a name that is close to a setting, but none, would otherwise be found out
//! only when it matters.
//!
//! One setting is no row: `auth.rules` is a list, for which a flag or a variable is no place. It stands in the
//! file alone, and [`Config::rules`] holds it.

mod contradiction;
mod file;
mod nearest;
mod rules;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use self::nearest::{did_you_mean, nearest};
use self::value::Want;
use crate::auth::rules::Rule;
use crate::log::{Format, Level};
use crate::pattern::TagPatterns;
use crate::percent::Percent;
use crate::proxies::Proxies;

/// Turns the table into a struct for each section, [`Config`] of them, its defaults, and [`SETTINGS`].
/// The documentation of a field is its help text too, line by line.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $section:ident: $Section:ident {
            $( $(#[doc = $help:literal])+ $key:ident: $type:ty = $parse:ident($default:literal), $flag:literal; )+
        }
    )+) => {
        /// Everything that can be set, as [`Config::load`] found it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $( $(#[doc = $about])+ pub $section: $Section, )+
            /// `auth.rules`: who may do what. None: every user everything.
            pub rules: Vec<Rule>,
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section {
                $( $(#[doc = $help])+ pub $key: $type, )+
            }
        )+

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $( $section: $Section { $( $key: default_of(value::$parse, $default), )+ }, )+
                    rules: Vec::new(),
                }
            }
        }

        /// Every setting, in the order of the help text.
        pub const SETTINGS: &[Setting] = &[ $( $( Setting {
            section: stringify!($section),
            key: stringify!($key),
            typed: $flag,
            default: $default,
            help: &[$($help),+],
            set: |config, text| {
                config.$section.$key = value::$parse(text)?;
                Ok(())
            },
        }, )+ )+ ];
    };
}

// field: type = parser("default"), "--flag VALUE"; a flag without VALUE is a switch and means "true".
settings! {
    /// Where and how the server listens.
    server: Server {
        /// The IP address to listen on. 127.0.0.1 is this machine only;
        /// 0.0.0.0 and :: are every interface.
        address: IpAddr = address("127.0.0.1"), "--address ADDR";
        /// The TCP port to listen on. 0 lets the system choose a free one.
        port: u16 = port("5080"), "--port PORT";
        /// How long a client may be silent amid its request. 0s: no limit.
        read_timeout: Duration = duration("60s"), "--read-timeout TIME";
        /// How long a client may take no byte of an answer. 0s: no limit.
        write_timeout: Duration = duration("60s"), "--write-timeout TIME";
        /// How long a connection stays open between two requests. 0s: no limit.
        idle_timeout: Duration = duration("120s"), "--idle-timeout TIME";
        /// The URL at which clients reach this registry: scheme, host, perhaps a port
        /// and a path. Location headers begin with it; without it they are relative.
        public_url: Option<String> = public_url(""), "--public-url URL";
        /// Refuse whatever changes something: pushing, mounting, deleting.
        read_only: bool = switch("false"), "--read-only";
        /// Refuse to delete tags, manifests and blobs.
        no_delete: bool = switch("false"), "--no-delete";
    }
    /// Where the files lie.
    storage: Storage {
        /// How content is stored: filesystem is the only way.
        r#type: StorageType = storage_type("filesystem"), "--storage-type TYPE";
        /// The directory that holds everything: blobs/, repositories/, uploads/.
        path: PathBuf = path("testdata"), "--root DIR";
        /// Warn when the disk has less than this share free: in the log, and whoever
        /// pushes. 0%: never.
        warn_free: Percent = percent("10%"), "--warn-free SHARE";
        /// Refuse pushes when the disk has less than this share free. 0%: never.
        refuse_free: Percent = percent("1%"), "--refuse-free SHARE";
    }
    /// How space comes back by itself; see `registry gc --help`.
    gc: Gc {
        /// How often to sweep what nothing refers to. 0s or --read-only: never.
        interval: Duration = duration("1h"), "--gc-interval TIME";
        /// How long something stays after it was last pushed, mounted or asked for,
        /// so that a client can push the manifest that refers to it.
        grace: Duration = duration("1h"), "--gc-grace TIME";
        /// Sweep manifests, too, that no tag, index or subject holds.
        untagged: bool = switch("false"), "--gc-untagged";
        /// How long an upload session stays after its last byte came.
        upload_max_age: Duration = duration("24h"), "--upload-max-age TIME";
    }
    /// Who may do what.
    auth: Auth {
        /// The users and their passwords, as `htpasswd -B FILE USER` writes them.
        /// Read again when it changes. Without it, everybody may do everything.
        htpasswd: Option<PathBuf> = optional_path(""), "--htpasswd FILE";
        /// Let everybody pull everything, also without a password.
        anonymous_pull: bool = switch("false"), "--anonymous-pull";
        /// The proxies that are believed when X-Forwarded-For says who asks: IP
        /// addresses, or networks as 10.0.0.0/8, with commas between. For who asks
        /// wrong passwords are counted, and that is whom the log shows.
        trusted_proxies: Proxies = proxies(""), "--trusted-proxy ADDR";
    }
    /// What tags may do.
    tags: Tags {
        /// The tags that are set once and then neither move nor go: patterns name:tag,
        /// such as library/*:v*, with commas between (in the file: or a list). * is
        /// any run of characters but /, and ** any run at all.
        immutable: TagPatterns = tag_patterns(""), "--immutable PATTERN";
    }
    /// What GET /metrics tells, and whom.
    metrics: Metrics {
        /// Ask for a login before telling; every user will do.
        auth: bool = switch("false"), "--metrics-auth";
        /// How often to count repositories, tags, blobs and bytes. 0s: never.
        count_interval: Duration = duration("5m"), "--count-interval TIME";
    }
    /// The log on standard error.
    logging: Logging {
        /// The least important lines to show: error, warn, info or debug.
        /// Requests are info, debug adds their headers.
        level: Level = level("info"), "--log-level LEVEL";
        /// text, for people, or json, one object a line.
        format: Format = format("text"), "--log-format FORMAT";
    }
    /// How much of a thing is too much.
    limits: Limits {
        /// The largest manifest that is accepted, in bytes, or as 512KiB, 8MiB.
        manifest_bytes: u64 = size("8MiB"), "--manifest-bytes SIZE";
    }
}

/// How things are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageType {
    /// As plain files in a directory.
    Filesystem,
}

/// A row of the table.
pub struct Setting {
    /// The section of the file: `server`.
    pub section: &'static str,
    key: &'static str,
    typed: &'static str,
    /// The default as one would write it. Empty: none.
    pub default: &'static str,
    /// What it does, line by line.
    pub help: &'static [&'static str],
    set: fn(&mut Config, &str) -> Result<(), Want>,
}

/// The setting that is no row of the table, and what it is.
pub const RULES: (&str, &[&str]) = (
    "auth.rules",
    &[
        "Who may do what in which repositories; a list, in the file alone. One",
        "may what any rule grants, and nothing else; without rules, every user",
        "may do everything. user: a name, \"*\" for all who are logged in, or",
        "\"anyone\". repository: a name in which * is any run of characters but /,",
        "and ** any run at all. pull, push, delete: true, or false as by default.",
    ],
);

/// Flags that are no row of the table: how they are typed, and what they do.
pub const EXTRA_FLAGS: &[(&str, &str)] = &[
    ("--config FILE", "The configuration file, JSON.\nREGISTRY_CONFIG"),
    ("--listen ADDR:PORT", "Address and port in one: 127.0.0.1:5080, [::1]:5080, :5080 or 5080."),
];

/// Looks like one of ours, and is where podman, skopeo and buildah keep their logins.
const PODMANS_VARIABLE: &str = "REGISTRY_AUTH_FILE";

/// Typed more than once, all of them count and not the last alone. In the file they may be lists.
const LIST_FLAGS: [&str; 2] = ["--trusted-proxy", "--immutable"];

const CONFIG_VARIABLE: &str = "REGISTRY_CONFIG";

/// Why the configuration cannot be used: one line that names the source and the thing.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

/// What it repeats of a file or a flag may hold anything, but gives no orders to a terminal.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_debug()),
            false => write!(f, "{c}"),
        })
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Finds the configuration from flags (name and value, in the order typed: the last one wins), the
    /// environment and the file that one of them names. Touches nothing but through `read_file`.
    ///
    /// # Errors
    /// A name that is no setting, a value that does not parse, a file that is not readable or not JSON.
    pub fn load(
        flags: &[(String, String)],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl FnOnce(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let variables = our_variables(environment)?;
        let by_flag = flags.iter().rfind(|(flag, _)| flag == "--config");
        let by_variable = variables.iter().find(|(variable, _)| variable == CONFIG_VARIABLE);
        if let Some((source, file)) = by_flag.or(by_variable) {
            let json = read_file(Path::new(file)).map_err(|e| {
                ConfigError(format!("{file}: the configuration file named by {source} cannot be read: {e}"))
            })?;
            config.apply_file(&json).map_err(|why| ConfigError(format!("{file}: {why}")))?;
        }
        for (variable, value) in &variables {
            config.apply_variable(variable, value)?;
        }
        for (flag, value) in flags {
            let is_list = LIST_FLAGS.contains(&flag.as_str());
            let all = flags.iter().filter(|(other, _)| is_list && other == flag);
            let all = all.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(",");
            config.apply_flag(flag, if is_list { &all } else { value })?;
        }
        match config.contradiction() {
            Some(why) => Err(ConfigError(why)),
            None => Ok(config),
        }
    }

    /// Address and port to listen on.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.server.address, self.server.port)
    }

    fn apply_file(&mut self, json: &str) -> Result<(), String> {
        for (section, members) in file::parse(json)? {
            if !is_section(&section) {
                let all = || SETTINGS.iter().map(|s| s.section);
                let near = did_you_mean(nearest(&section, all()));
                let (given, all) = (section.escape_debug(), join(all()));
                return Err(format!("{given} is not a section{near}; there are {all}"));
            }
            for (key, value) in file::object(&section, members)? {
                let name = format!("{section}.{key}");
                if name == RULES.0 {
                    self.rules = rules::parse(&name, value)?;
                    continue;
                }
                let Some(setting) = SETTINGS.iter().find(|s| s.name() == name) else {
                    let also = (section == "auth").then_some(("rules", RULES.0));
                    return Err(unknown(&name, &section, &key, Setting::name, also));
                };
                let text = match LIST_FLAGS.contains(&setting.flag()) {
                    true => file::list(&name, &value)?,
                    false => file::scalar(&name, &value)?,
                };
                (setting.set)(self, &text).map_err(|want| format!("{name}: {value} is not {want}"))?;
            }
        }
        Ok(())
    }

    fn apply_variable(&mut self, variable: &str, value: &str) -> Result<(), ConfigError> {
        if variable == CONFIG_VARIABLE {
            return Ok(());
        }
        let Some(setting) = SETTINGS.iter().find(|s| s.variable() == variable) else {
            let rest = variable.trim_start_matches("REGISTRY_").to_ascii_lowercase();
            let (section, key) = rest.split_once('_').unwrap_or((&rest, ""));
            return Err(ConfigError(unknown(variable, section, key, Setting::variable, None)));
        };
        (setting.set)(self, value).map_err(|want| ConfigError(format!("{variable}: {value:?} is not {want}")))
    }

    fn apply_flag(&mut self, flag: &str, value: &str) -> Result<(), ConfigError> {
        let done = match SETTINGS.iter().find(|s| s.is_flag(flag)) {
            Some(setting) => (setting.set)(self, value),
            None if flag == "--config" => Ok(()),
            None if flag == "--listen" => value::listen(value).map(|(address, port)| {
                self.server.address = address.unwrap_or(self.server.address);
                self.server.port = port;
            }),
            None => return Err(ConfigError(format!("{} is not a flag", flag.escape_debug()))),
        };
        done.map_err(|want| ConfigError(format!("{flag}: {value:?} is not {want}")))
    }
}

impl Setting {
    /// Its name in the file: `server.port`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key())
    }

    /// Its environment variable: `REGISTRY_SERVER_PORT`.
    pub fn variable(&self) -> String {
        format!("REGISTRY_{}_{}", self.section, self.key()).to_ascii_uppercase()
    }

    /// Its flag: `--port`.
    pub fn flag(&self) -> &'static str {
        self.typed.split(' ').next().unwrap_or(self.typed)
    }

    /// Is it set by this flag? The command that is called like its section leaves that out: `registry gc --grace`.
    fn is_flag(&self, given: &str) -> bool {
        let name =
            |flag: &'static str| flag.strip_prefix("--")?.strip_prefix(self.section)?.strip_prefix('-');
        given == self.flag() || name(self.flag()).is_some_and(|name| given.strip_prefix("--") == Some(name))
    }

    /// Its flag with its value, as the help shows it: `--port PORT`.
    pub fn flag_and_value(&self) -> &'static str {
        self.typed
    }

    fn key(&self) -> &'static str {
        self.key.trim_start_matches("r#") // `type` is a word of Rust's
    }
}

/// The variables that are meant for us: `REGISTRY_CONFIG`, and all that begin with `REGISTRY_` and the
/// name of a section. Others that begin with `REGISTRY_` are not ours: Kubernetes, for one, sets
/// `REGISTRY_PORT` and `REGISTRY_SERVICE_HOST` beside any service that is called registry.
fn our_variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let is_ours = |variable: &str| {
        let section = variable.strip_prefix("REGISTRY_").and_then(|rest| rest.split_once('_'));
        let is_setting = section.is_some_and(|(section, _)| is_section(&section.to_ascii_lowercase()));
        variable == CONFIG_VARIABLE || is_setting && variable != PODMANS_VARIABLE
    };
    let mut ours = Vec::new();
    for (variable, value) in environment {
        let Some(variable) = variable.to_str().filter(|&v| is_ours(v)) else { continue };
        let value = value.into_string();
        let value = value.map_err(|raw| ConfigError(format!("{variable}: {raw:?} is not UTF-8")))?;
        ours.push((variable.to_owned(), value));
    }
    Ok(ours)
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|s| s.section == name)
}

/// The message for a name that is none, with the nearest one that is, and all there are in its section. `also`
/// is the key and the name of one that is not in the table.
fn unknown(
    given: &str,
    section: &str,
    key: &str,
    show: fn(&Setting) -> String,
    also: Option<(&str, &str)>,
) -> String {
    let settings = SETTINGS.iter().filter(|s| s.section == section);
    let mut names: Vec<(&str, String)> = settings.map(|s| (s.key(), show(s))).collect();
    names.extend(also.map(|(key, name)| (key, name.to_owned())));
    let keys = || names.iter().map(|(key, _)| *key);
    let near = nearest(key, keys());
    let near = did_you_mean(names.iter().find(|(key, _)| Some(*key) == near).map(|(_, name)| name));
    format!("{} is not a setting{near}; {section} has {}", given.escape_debug(), join(keys()))
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    names.join(", ")
}

/// A default is a constant of the table, and a test parses them all.
fn default_of<T>(parse: fn(&str) -> Result<T, Want>, text: &str) -> T {
    parse(text).unwrap_or_else(|want| unreachable!("the default {text:?} is not {want}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads with flags and variables written `name=value` and separated by spaces, and one file.
    fn load(flags: &str, environment: &str, file: &str) -> Result<Config, ConfigError> {
        let pairs = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let environment = pairs(environment).into_iter().map(|(name, value)| (name.into(), value.into()));
        Config::load(&pairs(flags), environment, |path| match path.to_str() {
            Some("registry.json") => Ok(file.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    #[track_caller]
    fn check(flags: &str, environment: &str, file: &str, expect: fn(&mut Config)) {
        let mut config = Config::default();
        expect(&mut config);
        assert_eq!(load(flags, environment, file), Ok(config), "{flags} {environment} {file}");
    }

    #[track_caller]
    fn check_refused(flags: &str, environment: &str, file: &str, message: &str) {
        let error = load(flags, environment, file).unwrap_err();
        assert_eq!(error.to_string(), message, "{flags} {environment} {file}");
    }

    #[track_caller]
    fn check_file_refused(file: &str, message: &str) {
        check_refused("--config=registry.json", "", file, &format!("registry.json: {message}"));
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let config = load("", "PATH=/bin", "").unwrap();
        assert_eq!(config.listen_address().to_string(), "127.0.0.1:5080");
        assert_eq!(config.storage.path, Path::new("testdata"));
        assert_eq!(config.server.read_timeout, Duration::from_secs(60));
        assert_eq!(config.server.write_timeout, Duration::from_secs(60));
        assert_eq!(config.server.idle_timeout, Duration::from_secs(120));
        assert_eq!(config.server.public_url, None);
        assert_eq!((config.logging.level, config.logging.format), (Level::Info, Format::Text));
        assert_eq!(config.limits.manifest_bytes, 8 * 1024 * 1024);
        let hour = Duration::from_secs(3600);
        assert_eq!((config.gc.interval, config.gc.grace, config.gc.untagged), (hour, hour, false));
        assert_eq!(config.gc.upload_max_age, 24 * hour);
        let storage = &config.storage;
        assert_eq!(
            (storage.warn_free.to_string(), storage.refuse_free.to_string()),
            ("10%".into(), "1%".into())
        );
        assert_eq!((config.metrics.auth, config.metrics.count_interval), (false, Duration::from_secs(300)));
    }

    #[test]
    fn flags_override_the_environment_overrides_the_file_overrides_the_defaults() {
        let file = r#"{"server": {"port": 1}}"#;
        let named = "REGISTRY_CONFIG=registry.json";
        check("", named, file, |config| config.server.port = 1);
        check("", &format!("REGISTRY_SERVER_PORT=2 {named}"), file, |config| config.server.port = 2);
        check("--port=3", &format!("REGISTRY_SERVER_PORT=2 {named}"), file, |config| config.server.port = 3);
        check("--port=3 --port=4", "", "", |config| config.server.port = 4);
        check("--config=registry.json", "REGISTRY_CONFIG=missing.json", file, |config| {
            config.server.port = 1
        });
    }

    #[test]
    fn listen_sets_the_port_and_perhaps_the_address() {
        let environment = "REGISTRY_SERVER_ADDRESS=::1";
        check("--listen=0.0.0.0:80", environment, "", |config| {
            config.server.address = [0, 0, 0, 0].into();
            config.server.port = 80;
        });
        check("--listen=:80", environment, "", |config| {
            config.server.address = std::net::Ipv6Addr::LOCALHOST.into();
            config.server.port = 80;
        });
        let want = "an address and port, such as 127.0.0.1:5080, [::1]:5080, :5080 or 5080";
        check_refused("--listen=::1:80", "", "", &format!("--listen: \"::1:80\" is not {want}"));
    }

    #[test]
    fn every_setting_has_a_key_a_variable_and_a_flag() {
        for setting in SETTINGS {
            let (name, flag) = (setting.name(), setting.flag());
            let file = format!(r#"{{"{}": {{"{}": "\u0000"}}}}"#, setting.section, setting.key());
            let from_file = load("--config=registry.json", "", &file).unwrap_err().to_string();
            assert!(
                from_file.starts_with(&format!("registry.json: {name}: \"\\u0000\" is not ")),
                "{from_file}"
            );
            let from_variable = load("", &format!("{}=\0", setting.variable()), "").unwrap_err().to_string();
            assert!(from_variable.starts_with(&format!("{}: \"\\0\" is not ", setting.variable())));
            let from_flag = load(&format!("{flag}=\0"), "", "").unwrap_err().to_string();
            assert!(from_flag.starts_with(&format!("{flag}: \"\\0\" is not ")), "{from_flag}");
        }
    }

    #[test]
    fn json_values_may_be_numbers_or_strings() {
        let file = r#"{"server": {"port": "80", "idle_timeout": 5, "public_url": "https://a/"},
                       "storage": {"type": "filesystem", "path": "/srv"}, "logging": {}}"#;
        check("--config=registry.json", "", file, |config| {
            config.server.port = 80;
            config.server.idle_timeout = Duration::from_secs(5);
            config.server.public_url = Some("https://a".into());
            config.storage.path = "/srv".into();
        });
    }

    #[test]
    fn a_mistake_in_the_file_is_named() {
        let server = "server has address, port, read_timeout, write_timeout, idle_timeout, public_url, \
             read_only, no_delete";
        let prot = format!("server.prot is not a setting (did you mean server.port?); {server}");
        check_file_refused(r#"{"server": {"prot": 1}}"#, &prot);
        let xyz = "storage.xyz is not a setting; storage has type, path, warn_free, refuse_free";
        check_file_refused(r#"{"storage": {"xyz": null}}"#, xyz);
        let sections = "there are server, storage, gc, auth, tags, metrics, logging, limits";
        check_file_refused(
            r#"{"sever": {}}"#,
            &format!("sever is not a section (did you mean server?); {sections}"),
        );
        check_file_refused(r#"{"x\n": 1}"#, &format!("x\\n is not a section; {sections}"));
        let port = "is not a port: a number from 0 to 65535";
        check_file_refused(r#"{"server": {"port": "abc"}}"#, &format!("server.port: \"abc\" {port}"));
        check_file_refused(r#"{"server": {"port": 65536}}"#, &format!("server.port: 65536 {port}"));
        check_file_refused(
            "{\"server\": {\"port\": \"\u{9b}2J\"}}",
            &format!(r#"server.port: "\u{{9b}}2J" {port}"#),
        );
        check_file_refused(r#"{"server": {"port": true}}"#, &format!("server.port: true {port}"));
        check_file_refused(r#"{"server": {"port": 80.5}}"#, &format!("server.port: 80.5 {port}"));
        let null = "server.port is null; leave it out to have the default";
        check_file_refused(r#"{"server": {"port": null}}"#, null);
        let list = "server.port is a list, but must be a single value";
        check_file_refused(r#"{"server": {"port": [80]}}"#, list);
        check_file_refused(r#"{"server": 80}"#, "server is a number, but must be an object");
        check_file_refused("[]", "the file is a list, but must be an object");
        check_file_refused(r#"{"server": {"port": 1, "port": 1}}"#, "server.port is there twice");
        check_file_refused(r#"{"server": {}, "server": {}}"#, "server is there twice");
        let auth = "auth has htpasswd, anonymous_pull, trusted_proxies, rules";
        let rule = format!("auth.rule is not a setting (did you mean auth.rules?); {auth}");
        check_file_refused(r#"{"auth": {"rule": []}}"#, &rule);
        check_file_refused("", "not JSON: EOF while parsing a value at line 1 column 0");
    }

    #[test]
    fn rules_stand_in_the_file() {
        let file = r#"{"auth": {"htpasswd": "users", "anonymous_pull": true, "rules": [
            {"user": "*", "repository": "team/**", "pull": true}]}}"#;
        check("--config=registry.json", "", file, |config| {
            config.auth.htpasswd = Some("users".into());
            config.auth.anonymous_pull = true;
            let rules = serde_json::json!([{ "user": "*", "repository": "team/**", "pull": true }]);
            config.rules = rules::parse(RULES.0, rules).unwrap();
        });
    }

    #[test]
    fn proxies_come_in_one_flag_or_in_several() {
        let file = r#"{"auth": {"trusted_proxies": "::1, 10.0.0.0/8"}}"#;
        check("--config=registry.json", "", file, |config| {
            config.auth.trusted_proxies = Proxies::parse("::1,10.0.0.0/8").unwrap();
        });
        let flags = "--trusted-proxy=::1 --config=registry.json --trusted-proxy=127.0.0.1,127.0.0.2";
        check(flags, "REGISTRY_AUTH_TRUSTED_PROXIES=10.0.0.1", file, |config| {
            config.auth.trusted_proxies = Proxies::parse("::1,127.0.0.1,127.0.0.2").unwrap();
        });
        let want = "a list of IP addresses and networks, such as 127.0.0.1,10.0.0.0/8,fd00::/8";
        check_refused("--trusted-proxy=a", "", "", &format!("--trusted-proxy: \"a\" is not {want}"));
    }

    #[test]
    fn immutable_tags_come_as_a_list_or_with_commas() {
        let both = |config: &mut Config| {
            config.tags.immutable = TagPatterns::parse("library/*:v*,**:release-*").unwrap();
        };
        for file in [
            r#"{"tags": {"immutable": ["library/*:v*", "**:release-*"]}}"#,
            r#"{"tags": {"immutable": "library/*:v*, **:release-*"}}"#,
        ] {
            check("--config=registry.json", "", file, both);
        }
        check("--immutable=library/*:v* --immutable=**:release-*", "", "", both);
        check("", "REGISTRY_TAGS_IMMUTABLE=library/*:v*,**:release-*", "", both);
        check("--config=registry.json", "", r#"{"tags": {"immutable": []}}"#, |_| {});
        let want = "is not a list of patterns name:tag, such as library/*:v*,**:release-*";
        check_file_refused(r#"{"tags": {"immutable": ["v*"]}}"#, &format!("tags.immutable: [\"v*\"] {want}"));
        check_file_refused(
            r#"{"tags": {"immutable": [1]}}"#,
            "tags.immutable[0] is a number, but must be a string",
        );
    }

    #[test]
    fn shares_of_the_disk_are_in_order() {
        check("--warn-free=0.5% --refuse-free=0", "", "", |config| {
            config.storage.warn_free = Percent::parse("0.5%").unwrap();
            config.storage.refuse_free = Percent::ZERO;
        });
        let why = "storage.refuse_free is 20% and storage.warn_free 10%: nobody would be warned";
        check_refused("--refuse-free=20%", "", "", why);
        check("--refuse-free=20% --warn-free=0%", "", "", |config| {
            config.storage.warn_free = Percent::ZERO;
            config.storage.refuse_free = Percent::parse("20%").unwrap();
        });
        let want = "--warn-free: \"10GB\" is not a share: 10%, 0.5%, at most 100%";
        check_refused("--warn-free=10GB", "", "", want);
    }

    #[test]
    fn what_only_seems_to_protect_is_refused() {
        let why = "needs auth.htpasswd: without it, everybody may do everything";
        check_refused("--anonymous-pull=true", "", "", &format!("auth.anonymous_pull {why}"));
        let file = r#"{"auth": {"rules": [{"user": "a", "repository": "b", "pull": true}]}}"#;
        check_refused("--config=registry.json", "", file, &format!("auth.rules {why}"));
        check("--anonymous-pull=true", "REGISTRY_AUTH_HTPASSWD=users", "", |config| {
            config.auth.htpasswd = Some("users".into());
            config.auth.anonymous_pull = true;
        });
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_namer() {
        let why = "missing.json: the configuration file named by --config cannot be read: entity not found";
        check_refused("--config=missing.json", "", "", why);
        check_refused("", "REGISTRY_CONFIG=missing.json", "", &why.replace("--config", "REGISTRY_CONFIG"));
    }

    #[test]
    fn variables_of_our_sections_are_settings_and_others_are_not_ours() {
        check("", "REGISTRY_PORT=tcp://10.0.0.1:80 REGISTRY_SERVICE_HOST=x REGISTRY_STORAGE=x", "", |_| {});
        check("", "REGISTRY_AUTH_FILE=/run/user/1000/auth.json", "", |_| {});
        let abc = "REGISTRY_SERVER_PORT: \"abc\" is not a port: a number from 0 to 65535";
        check_refused("", "REGISTRY_SERVER_PORT=abc", "", abc);
        let unknown = "REGISTRY_STORAGE_PAHT is not a setting (did you mean REGISTRY_STORAGE_PATH?); \
                       storage has type, path, warn_free, refuse_free";
        check_refused("", "REGISTRY_STORAGE_PAHT=x", "", unknown);
        let foreign = "REGISTRY_STORAGE_DELETE_ENABLED is not a setting; storage has type, path, warn_free, refuse_free";
        check_refused("", "REGISTRY_STORAGE_DELETE_ENABLED=true", "", foreign);
    }
}
