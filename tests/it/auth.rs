//! Logins, rules, and what strangers are not told.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::users::{Users, basic, line, login};
use crate::harness::{Answer, Connection, OCI_MANIFEST, Registry, eventually, sha256};

const CHALLENGE: (&str, &str) = ("WWW-Authenticate", r#"Basic realm="container-registry", charset="UTF-8""#);

/// A GET of `/v2/` with this `Authorization`.
fn knock(registry: &Registry, authorization: &str) -> Answer {
    registry.send("GET", "/v2/", &[("Authorization", authorization)], b"")
}

// ---- logins

#[test]
fn who_is_asked_for_a_login_is_told_how() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&[]);
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1"] {
        let answer = registry.get(path);
        answer.assert_error(401, "UNAUTHORIZED");
        answer.assert(401, &[CHALLENGE]);
        registry.send("HEAD", path, &[], b"").assert(401, &[CHALLENGE]);
    }
    knock(&registry, &login("alice")).assert(200, &[]);
    knock(&registry, &login("alice").replace("Basic", "basic")).assert(200, &[]);
    let bytes = login("alice").replace("Basic ", "");
    for wrong in [
        basic("alice", "Alice-secret"),
        basic("alice", ""),
        basic("Alice", "alice-secret"),
        basic("", ""),
        format!("Digest {bytes}"),
        format!("Basic {bytes}="),
        bytes,
        "Basic".to_owned(),
    ] {
        let answer = knock(&registry, &wrong);
        answer.assert_error(401, "UNAUTHORIZED");
        answer.assert(401, &[CHALLENGE]);
    }
    let twice = [("Authorization", login("alice")), ("Authorization", login("alice"))];
    let twice = twice.each_ref().map(|(name, value)| (*name, value.as_str()));
    registry.send("GET", "/v2/", &twice, b"").assert(401, &[CHALLENGE]);
}

#[test]
fn nobody_is_asked_where_there_are_no_users() {
    let registry = Registry::start();
    knock(&registry, &login("alice")).assert(200, &[]);
    knock(&registry, "nonsense").assert(200, &[]);
}

#[test]
fn an_image_is_pushed_and_pulled_with_a_login() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&[]);
    let layer = b"layer";
    let digest = sha256(layer);
    let session = registry.send_as("alice", "POST", "/v2/a/blobs/uploads/", b"");
    session.assert(202, &[]);
    let session = session.header("Location").unwrap().to_owned();
    // A body that is refused does not derail the connection, and nothing of it is kept.
    let before = registry.snapshot();
    let mut client = Connection::open(registry.address);
    client.send("PUT", &format!("{session}?digest={digest}"), &[], layer).assert(401, &[CHALLENGE]);
    assert_eq!(registry.snapshot(), before);
    let alice = login("alice");
    let headers = [("Authorization", alice.as_str())];
    client.send("PUT", &format!("{session}?digest={digest}"), &headers, layer).assert(201, &[]);
    client.send("GET", &format!("/v2/a/blobs/{digest}"), &[], b"").assert(401, &[]);
    assert_eq!(client.send("GET", &format!("/v2/a/blobs/{digest}"), &headers, b"").body, layer);
}

#[test]
fn anybody_pulls_and_users_push_where_that_is_set() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&["--anonymous-pull"]);
    let image = registry.start_beside_with(&[]).push_image("a", "v1", b"layer");
    registry.get("/v2/").assert(401, &[CHALLENGE]); // or docker would never send its login
    registry.get("/v2/a/manifests/v1").assert(200, &[]);
    registry.get("/v2/_catalog").assert(200, &[]);
    assert_eq!(registry.get(&format!("/v2/a/blobs/{}", image.layer)).body, b"layer");
    let put = |headers: &[(&str, &str)]| registry.send("PUT", "/v2/a/manifests/v2", headers, &image.manifest);
    put(&[("Content-Type", OCI_MANIFEST)]).assert(401, &[CHALLENGE]);
    put(&[("Content-Type", OCI_MANIFEST), ("Authorization", &login("alice"))]).assert(201, &[]);
    let wrong = [("Authorization", "Basic bm9ib2R5Og==")];
    registry.send("GET", "/v2/a/manifests/v1", &wrong, b"").assert(401, &[CHALLENGE]);
}

/// Challenged with `Basic`, docker does not even ask when it has no login.
#[test]
fn strangers_fetch_a_token_where_docker_must_let_them_pull() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&["--anonymous-pull", "--public-url", "https://example.org/r"]);
    let image = registry.start_beside_with(&[]).push_image("a", "v1", b"layer");
    let challenge = r#"Bearer realm="https://example.org/r/v2/_token",service="container-registry""#;
    registry.get("/v2/").assert(401, &[("WWW-Authenticate", challenge)]);
    let token = |authorization: &[(&str, &str)]| {
        let path = "/v2/_token?service=container-registry&scope=repository:a:pull,push";
        let answer = registry.send("GET", path, authorization, b"");
        answer.assert(200, &[("Cache-Control", "no-store")]);
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    };
    let (nobody, alice) = (token(&[]), token(&[("Authorization", &login("alice"))]));
    let wrong = [("Authorization", &*basic("alice", "wrong"))];
    registry.send("GET", "/v2/_token", &wrong, b"").assert(401, &[("WWW-Authenticate", challenge)]);

    let put = |token: &str| {
        let headers = [("Content-Type", OCI_MANIFEST), ("Authorization", token)];
        registry.send("PUT", "/v2/a/manifests/v2", &headers, &image.manifest)
    };
    registry.send("GET", "/v2/a/manifests/v1", &[("Authorization", &nobody)], b"").assert(200, &[]);
    put(&nobody).assert(401, &[("WWW-Authenticate", challenge)]);
    put(&alice).assert(201, &[]);
    assert_eq!(knock(&registry, &nobody).status, 401);
    assert_eq!(knock(&registry, &alice).status, 200);

    let closed = users.start(&["--public-url", "https://example.org/r"]);
    closed.get("/v2/").assert(401, &[CHALLENGE]);
    closed.send("GET", "/v2/a/manifests/v1", &[("Authorization", &nobody)], b"").assert(401, &[CHALLENGE]);
}

#[test]
fn what_is_switched_off_is_off_for_everybody() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&["--read-only"]);
    for headers in [&[][..], &[("Authorization", login("alice").as_str())], &[("Authorization", "nonsense")]]
    {
        let answer = registry.send("DELETE", "/v2/a/manifests/v1", headers, b"");
        answer.assert_error(405, "UNSUPPORTED");
        answer.assert(405, &[("Allow", "GET, HEAD")]);
    }
}

// ---- the file of users

#[test]
fn users_come_and_go_while_the_registry_runs() {
    let users = Users::new(&["alice"]);
    let registry = users.start(&[]);
    knock(&registry, &login("alice")).assert(200, &[]);
    knock(&registry, &login("bob")).assert(401, &[]);

    users.write(&(line("alice") + &line("bob")));
    // Not by asking for bob until he is there: ten times a minute are all he has.
    eventually("the file is read again", || {
        registry.log().contains("htpasswd file read again") || {
            knock(&registry, &login("alice"));
            false
        }
    });
    knock(&registry, &login("bob")).assert(200, &[]);

    users.write(&line("bob"));
    eventually("alice cannot", || knock(&registry, &login("alice")).status == 401);
    knock(&registry, &login("bob")).assert(200, &[]);

    // A line that cannot be used keeps nobody in, or out, but its own user.
    users.write(&(line("carol") + "alice:secret\n"));
    eventually("bob cannot", || knock(&registry, &login("bob")).status == 401);
    knock(&registry, &login("carol")).assert(200, &[]);
    let log = registry.log();
    assert!(log.contains("lines of the htpasswd file cannot be used"), "{log}");
    assert!(log.contains("line 2: \\\"alice\\\" has a password that is no bcrypt hash"), "{log}");

    std::fs::remove_file(users.file()).unwrap();
    eventually("the log says that it is gone", || {
        knock(&registry, &login("carol")).assert(200, &[]);
        registry.log().contains("No such file")
    });
    users.write("");
    eventually("nobody can", || knock(&registry, &login("carol")).status == 401);
    let log = registry.log();
    assert_eq!(log.matches("cannot be").count(), 2, "once for each: {log}");
}

#[test]
fn a_start_that_would_not_protect_is_refused() {
    let users = Users::new(&["alice"]);
    let refused = |flags: &[&str], status: i32, why: &str| {
        let root = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
        let output = command.arg("--root").arg(root.path()).args(flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(status) && said.contains(why), "{flags:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
    };
    refused(&["--anonymous-pull"], 2, "auth.anonymous_pull needs auth.htpasswd");
    refused(&["--htpasswd", "/nowhere"], 1, "cannot use /nowhere as htpasswd file: No such file");
    let file = users.file().display().to_string();
    users.write("# ours\nalice:secret\n");
    refused(&["--htpasswd", &file], 1, "line 2: \"alice\" has a password that is no bcrypt hash");
    let config = users.config(json!([{ "user": "*", "repository": "a", "pull": true }, { "user": "b" }]));
    refused(&["--config", &config], 2, "auth.rules[1] has no repository");
}

// ---- rules

/// The repositories in a catalog.
fn names(answer: &Answer) -> Value {
    answer.assert(200, &[]);
    answer.json()["repositories"].clone()
}

#[test]
fn the_catalog_shows_what_its_reader_may_pull() {
    let users = Users::new(&["alice", "bob"]);
    let registry = users.start_with_rules(json!([
        { "user": "anyone", "repository": "public/**", "pull": true },
        { "user": "alice", "repository": "team/*", "pull": true },
        { "user": "bob", "repository": "team/*", "push": true, "delete": true },
    ]));
    let open = registry.start_beside_with(&[]);
    for name in
        ["hidden", "public/a", "public/x/b", "secret/z", "team/1", "team/2", "team/2/x", "team/3", "z"]
    {
        open.push_image(name, "v1", b"layer");
    }
    assert_eq!(names(&registry.get("/v2/_catalog")), json!(["public/a", "public/x/b"]));
    let of = |user: &str, query: &str| registry.send_as(user, "GET", &format!("/v2/_catalog{query}"), b"");
    assert_eq!(names(&of("bob", "")), json!(["public/a", "public/x/b"]));
    let all = ["public/a", "public/x/b", "team/1", "team/2", "team/3"];
    assert_eq!(names(&of("alice", "")), json!(all));

    // Pages are full, and the last one says that it is, whatever is hidden between and behind.
    for n in 1..=6 {
        let (mut seen, mut query) = (Vec::new(), format!("?n={n}"));
        loop {
            let page = of("alice", &query);
            let found: Vec<String> = serde_json::from_value(names(&page)).unwrap();
            let next = page.next_page().map(str::to_owned);
            assert!(found.len() == n || next.is_none(), "{n}: {found:?}");
            seen.extend(found);
            let Some(next) = next else { break };
            query = next.replace("/v2/_catalog", "");
        }
        assert_eq!(seen, all, "{n}");
    }
    assert_eq!(names(&of("alice", "?last=hidden")), json!(all));
    assert_eq!(names(&of("alice", "?n=1&last=secret/z")), json!(["team/1"]));
}

#[test]
fn a_mount_needs_a_pull_from_where_the_blob_is() {
    let users = Users::new(&["alice", "admin"]);
    let registry = users.start_with_rules(json!([
        { "user": "alice", "repository": "mine/*", "pull": true, "push": true },
        { "user": "alice", "repository": "shared", "pull": true },
        { "user": "admin", "repository": "**", "pull": true, "push": true },
    ]));
    let open = registry.start_beside_with(&[]);
    let (shared, hidden) = (open.push_blob("shared", b"shared"), open.push_blob("hidden", b"hidden"));
    let mount = |user: &str, digest: &str, from: &str| {
        let path = format!("/v2/mine/app/blobs/uploads/?mount={digest}{from}");
        registry.send_as(user, "POST", &path, b"").status
    };
    assert_eq!(mount("alice", &hidden, "&from=hidden"), 202);
    assert_eq!(mount("alice", &hidden, ""), 202);
    assert_eq!(mount("alice", &shared, ""), 202, "it is not looked for where she may not look");
    assert_eq!(registry.link_count(&hidden), 2);
    assert_eq!(mount("alice", &shared, "&from=shared"), 201);
    assert_eq!(mount("admin", &hidden, ""), 201);
    assert_eq!(registry.link_count(&hidden), 3);
}

// ---- what strangers are not told

/// An answer as a text, without the time and with every repository called the same.
fn told(answer: &Answer, name: &str) -> String {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["Date", "Location", "Docker-Upload-UUID"].contains(&name.as_str()));
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    format!("{} {:?} {body}", answer.status, headers.collect::<Vec<_>>()).replace(name, "NAME")
}

#[test]
fn a_hidden_repository_answers_like_one_that_is_not_there() {
    let users = Users::new(&["alice"]);
    let registry = users.start_with_rules(json!([
        { "user": "alice", "repository": "mine", "pull": true, "push": true, "delete": true },
    ]));
    let open = registry.start_beside_with(&[]);
    let image = open.push_image("hidden/it", "v1", b"layer");
    let session = open.start_upload("hidden/it");
    let id = session.rsplit('/').next().unwrap();
    let (blob, digest) = (&image.layer, &image.digest);
    let requests = [
        ("GET", format!("manifests/{digest}")),
        ("HEAD", "manifests/v1".to_owned()),
        ("GET", "manifests/v1".to_owned()),
        ("PUT", "manifests/v1".to_owned()),
        ("DELETE", "manifests/v1".to_owned()),
        ("DELETE", format!("manifests/{digest}")),
        ("GET", format!("blobs/{blob}")),
        ("HEAD", format!("blobs/{blob}")),
        ("DELETE", format!("blobs/{blob}")),
        ("POST", "blobs/uploads/".to_owned()),
        ("GET", format!("blobs/uploads/{id}")),
        ("PATCH", format!("blobs/uploads/{id}")),
        ("PUT", format!("blobs/uploads/{id}?digest={blob}")),
        ("DELETE", format!("blobs/uploads/{id}")),
        ("GET", "tags/list".to_owned()),
        ("GET", format!("referrers/{digest}")),
        ("PATCH", "manifests/v1".to_owned()),
    ];
    let alice = login("alice");
    for headers in [&[][..], &[("Authorization", alice.as_str())]] {
        for (method, path) in &requests {
            let ask =
                |name| told(&registry.send(method, &format!("/v2/{name}/{path}"), headers, b"{}"), name);
            assert_eq!(ask("hidden/it"), ask("absent/it"), "{method} {path}");
        }
    }
    let mount = |from| {
        let path = format!("/v2/mine/blobs/uploads/?mount={blob}&from={from}");
        told(&registry.send_as("alice", "POST", &path, b""), from)
    };
    assert_eq!(mount("hidden/it"), mount("absent/it"));
    assert!(mount("hidden/it").starts_with("202"));
}

#[test]
fn credentials_are_in_no_log() {
    for format in ["text", "json"] {
        let users = Users::new(&["alice"]);
        let registry = users.start(&["--log-level", "debug", "--log-format", format]);
        let target = "http://alice:alice-secret@host/v2/";
        let mut sent = Vec::new();
        for authorization in [login("alice"), basic("alice", "wrong-secret"), "Bearer secret-token".into()] {
            knock(&registry, &authorization);
            registry.send("GET", target, &[("Authorization", &authorization)], b"");
            sent.push(authorization.split(' ').nth(1).unwrap().to_owned());
        }
        for scheme in ["ftp", "HTTP", "http:/"] {
            registry.get(&target.replace("http", scheme));
        }
        let proxy = [("Proxy-Authorization", "Basic secret"), ("Cookie", "secret")];
        registry.send("GET", "/v2/", &proxy, b"");
        // What breaks the rules of HTTP is refused before it is understood.
        for line in ["Authorization : Basic secret", " Authorization: secret", "Authorization Basic secret"] {
            let mut client = Connection::open(registry.address);
            client.write(format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").as_bytes());
            client.read_to_end();
        }
        registry.get("/v2/the/end");
        eventually("the last line", || registry.log().contains("/v2/the/end"));
        let log = registry.log();
        assert!(!log.contains("secret") && !sent.iter().any(|bytes| log.contains(bytes)), "{log}");
        assert!(log.contains("(hidden)@host/v2/"), "{log}");
    }
}
