//! What has been said about a manifest: the list of its referrers, filtered and in pages.

use std::fs;

use serde_json::json;

use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, sha256, sha512};

/// Pushes a manifest about `subject` with these further members; returns its digest.
fn push_referrer(registry: &Registry, name: &str, subject: &str, more: &str) -> String {
    let config = registry.push_blob(name, b"{}");
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"x/config","digest":"{config}","size":2}},"layers":[],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}}{more}}}"#
    );
    let digest = sha256(document.as_bytes());
    let answer = registry.put_manifest(name, &digest, OCI_MANIFEST, document.as_bytes());
    answer.assert(201, &[("OCI-Subject", subject)]);
    digest
}

#[test]
fn whatever_has_no_referrers_has_an_empty_index_of_them() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1", b"layer");
    let zero = format!("sha256:{}", "0".repeat(64));
    for (name, digest) in [("none", &zero), ("a", &zero), ("a", &image.digest), ("a", &sha512(b""))] {
        let answer = registry.get(&format!("/v2/{name}/referrers/{digest}"));
        answer.assert(200, &[("Content-Type", OCI_INDEX)]);
        assert_eq!(answer.json(), json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
        assert_eq!((answer.header("Link"), answer.header("OCI-Filters-Applied")), (None, None));
    }
    for digest in ["sha256:abc", "v1", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        registry.get(&format!("/v2/a/referrers/{digest}")).assert_error(400, "DIGEST_INVALID");
    }
    assert!(!registry.path("repositories/none").exists());
}

#[test]
fn a_referrer_is_listed_with_its_type_and_annotations() {
    let registry = Registry::start();
    let subject = sha256(b"not here yet");
    let typed =
        push_referrer(&registry, "a", &subject, r#","artifactType":"x/sbom","annotations":{"k.k":"v\n"}"#);
    let untyped = push_referrer(&registry, "a", &subject, "");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}}}}"#
    );
    registry
        .put_manifest("a", "index", OCI_INDEX, index.as_bytes())
        .assert(201, &[("OCI-Subject", &subject)]);

    let answer = registry.get(&format!("/v2/a/referrers/{subject}"));
    answer.assert(200, &[("Content-Type", OCI_INDEX)]);
    let list = answer.json()["manifests"].as_array().unwrap().clone();
    let find = |digest: &str| list.iter().find(|entry| entry["digest"] == digest).unwrap().clone();
    let size = |digest: &str| fs::metadata(registry.blob_path(digest)).unwrap().len();
    assert_eq!(
        find(&typed),
        json!({ "mediaType": OCI_MANIFEST, "digest": typed, "size": size(&typed),
                "artifactType": "x/sbom", "annotations": { "k.k": "v\n" } })
    );
    let config_type = json!({ "mediaType": OCI_MANIFEST, "digest": untyped, "size": size(&untyped),
                              "artifactType": "x/config" });
    assert_eq!(find(&untyped), config_type);
    let digest = sha256(index.as_bytes());
    assert_eq!(find(&digest), json!({ "mediaType": OCI_INDEX, "digest": digest, "size": index.len() }));
    assert_eq!(list.len(), 3);

    let (_, hex) = subject.split_once(':').unwrap();
    let mut entries = [typed, untyped, digest].map(|digest| digest.replace(':', "-"));
    entries.sort();
    assert_eq!(registry.files(&format!("repositories/a/_referrers/sha256/{hex}")), entries);
}

#[test]
fn referrers_are_filtered_by_their_type() {
    let registry = Registry::start();
    let subject = sha256(b"subject");
    let wanted = push_referrer(&registry, "a", &subject, r#","artifactType":"x/a+b""#);
    push_referrer(&registry, "a", &subject, r#","artifactType":"x/other""#);
    for filter in ["x/a+b", "x%2Fa%2Bb"] {
        let answer = registry.get(&format!("/v2/a/referrers/{subject}?artifactType={filter}"));
        answer.assert(200, &[("OCI-Filters-Applied", "artifactType"), ("Content-Type", OCI_INDEX)]);
        let list = answer.json()["manifests"].clone();
        assert_eq!((list.as_array().unwrap().len(), list[0]["digest"].as_str()), (1, Some(wanted.as_str())));
    }
    let answer = registry.get(&format!("/v2/a/referrers/{subject}?artifactType=x/none"));
    answer.assert(200, &[("OCI-Filters-Applied", "artifactType")]);
    assert_eq!(answer.json()["manifests"], json!([]));
}

#[test]
fn referrers_come_in_pages_also_filtered() {
    let registry = Registry::start();
    let subject = sha256(b"subject");
    let mut digests: Vec<String> = (0..7)
        .map(|number| {
            let kind = if number % 2 == 0 { "x/even+json" } else { "x/odd" };
            let more = format!(r#","artifactType":"{kind}","annotations":{{"number":"{number}"}}"#);
            push_referrer(&registry, "a", &subject, &more)
        })
        .collect();
    digests.sort();
    let path = format!("/v2/a/referrers/{subject}");
    for n in 1..=8 {
        let list = registry.all_pages(&format!("{path}?n={n}"), "manifests", n);
        let listed: Vec<&str> = list.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
        assert_eq!(listed, digests, "{n} a page");
    }

    let filtered = format!("{path}?artifactType=x/even%2Bjson");
    for n in 1..=5 {
        let list = registry.all_pages(&format!("{filtered}&n={n}"), "manifests", n);
        assert_eq!(list.len(), 4, "{n} a page");
        assert!(list.iter().all(|entry| entry["artifactType"] == "x/even+json"), "{list:?}");
    }
    let first = registry.get(&format!("{filtered}&n=1"));
    first.assert(200, &[("OCI-Filters-Applied", "artifactType")]);
    let next = first.next_page().unwrap();
    assert!(next.ends_with("&n=1&artifactType=x%2Feven%2Bjson"), "{next}");
    registry.get(next).assert(200, &[("OCI-Filters-Applied", "artifactType")]);
    assert_eq!(registry.get(&format!("{path}?n=0")).json()["manifests"], json!([]));
    registry.get(&format!("{path}?last=nonsense")).assert_error(400, "DIGEST_INVALID");
}

#[test]
fn a_page_of_referrers_is_no_larger_than_clients_read() {
    let registry = Registry::start();
    let subject = sha256(b"subject");
    for number in 0..3 {
        let text = number.to_string().repeat(1_500_000);
        push_referrer(&registry, "a", &subject, &format!(r#","annotations":{{"text":"{text}"}}"#));
    }
    let (mut sizes, mut next) = (Vec::new(), Some(format!("/v2/a/referrers/{subject}")));
    while let Some(page) = next {
        let answer = registry.get(&page);
        assert!(answer.body.len() < 4 << 20, "{} bytes", answer.body.len());
        sizes.push(answer.json()["manifests"].as_array().unwrap().len());
        next = answer.next_page().map(str::to_owned);
    }
    assert_eq!(sizes, [2, 1]);
}

#[test]
fn referrers_belong_to_their_repository_and_go_when_they_are_deleted() {
    let registry = Registry::start();
    let subject = registry.push_image("a", "v1", b"layer").digest;
    let signature = push_referrer(&registry, "a", &subject, "");
    let path = format!("/v2/a/referrers/{subject}");
    assert_eq!(registry.get(&path).json()["manifests"][0]["digest"], *signature);
    assert_eq!(registry.get(&format!("/v2/b/referrers/{subject}")).json()["manifests"], json!([]));
    // The subject goes, and what was said about it stays: it may come back.
    registry.send("DELETE", &format!("/v2/a/manifests/{subject}"), &[], b"").assert(202, &[]);
    assert_eq!(registry.get(&path).json()["manifests"][0]["digest"], *signature);
    registry.send("DELETE", &format!("/v2/a/manifests/{signature}"), &[], b"").assert(202, &[]);
    assert_eq!(registry.get(&path).json()["manifests"], json!([]));
    assert_eq!(registry.files("repositories/a/_referrers"), Vec::<String>::new());
}

#[test]
fn a_subject_may_have_a_sha512_digest() {
    let registry = Registry::start();
    let subject = sha512(b"subject");
    let referrer = push_referrer(&registry, "a", &subject, "");
    let answer = registry.get(&format!("/v2/a/referrers/{subject}"));
    assert_eq!(answer.json()["manifests"][0]["digest"], *referrer);
    let entry = format!("{}/{}", subject.replace(':', "/"), referrer.replace(':', "-"));
    assert_eq!(registry.files("repositories/a/_referrers"), [entry]);
}
