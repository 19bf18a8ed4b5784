//! What an import has brought before it failed goes again, but for what others were told of.

use container_registry::digest::Digest;
use container_registry::manifest::Manifest;
use container_registry::name::RepositoryName;
use container_registry::store::Store;
use container_registry::store::manifests::{Condition, NewManifest};
use container_registry::store::take_back::Brought;

use super::assert_sound;
use crate::harness::{OCI_MANIFEST, Registry, bytes, sha256};

/// An import as the store sees it: content comes, and then something is wrong.
struct Broken {
    store: Store,
    name: RepositoryName,
    brought: Brought,
}

impl Broken {
    fn begin(registry: &Registry) -> Self {
        let store = Store::open(&registry.path("")).unwrap().to_take_back();
        Self { store, name: RepositoryName::parse("app").unwrap(), brought: Brought::default() }
    }

    fn blob(&mut self, content: &[u8]) -> String {
        let digest = Digest::parse(&sha256(content)).unwrap();
        self.store.push_blob(&self.name, &digest, &mut &content[..]).unwrap();
        self.brought.blobs.insert(digest.clone());
        digest.to_string()
    }

    fn manifest(&mut self, bytes: &[u8]) -> String {
        let digest = Digest::parse(&sha256(bytes)).unwrap();
        let content = Manifest::parse(bytes, Some(OCI_MANIFEST)).unwrap();
        let new = NewManifest {
            digest: &digest,
            bytes,
            content: &content,
            tags: &[],
            condition: Condition::default(),
        };
        self.store.put_manifest(&self.name, &new).unwrap();
        self.brought.manifests.push(digest.clone());
        digest.to_string()
    }

    fn fail(self) {
        self.store.take_back(&self.name, &self.brought).unwrap();
    }
}

fn manifest_of(config: &str, size: usize) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/json","digest":"{config}","size":{size}}},"layers":[]}}"#
    )
    .into_bytes()
}

#[test]
fn what_a_client_was_told_of_is_not_taken_back() {
    let registry = Registry::start();
    let mut import = Broken::begin(&registry);
    let [nobodys, pushed, asked, mounted] = [1, 2, 3, 4].map(|seed| import.blob(&bytes(seed, 300)));
    let manifest = manifest_of(&import.blob(b"{}"), 2);
    let used = import.manifest(&manifest);
    let config = import.blob(b"{ }");
    let unused = import.manifest(&manifest_of(&config, 3));

    let upload = format!("/v2/app/blobs/uploads/?digest={pushed}");
    assert_eq!(registry.send("POST", &upload, &[], &bytes(2, 300)).status, 201);
    assert_eq!(registry.send("HEAD", &format!("/v2/app/blobs/{asked}"), &[], b"").status, 200);
    let mount = format!("/v2/other/blobs/uploads/?mount={mounted}&from=app");
    assert_eq!(registry.send("POST", &mount, &[], b"").status, 201);
    assert_eq!(registry.put_manifest("app", &used, OCI_MANIFEST, &manifest).status, 201);
    import.fail();

    for (blob, status) in [(&nobodys, 404), (&pushed, 200), (&asked, 200), (&mounted, 200), (&config, 404)] {
        assert_eq!(registry.get(&format!("/v2/app/blobs/{blob}")).status, status, "{blob}");
    }
    for (manifest, status) in [(&used, 200), (&unused, 404)] {
        assert_eq!(registry.get(&format!("/v2/app/manifests/{manifest}")).status, status, "{manifest}");
    }
    assert_eq!(registry.link_count(&nobodys), 0, "its room is there again at once");
    assert_sound(&registry);
}

/// To another repository no byte moves, and nothing tells who used them since.
#[test]
fn what_another_repository_has_is_left_to_the_sweep() {
    let registry = Registry::start();
    let image = registry.push_image("other", "v1", &bytes(1, 300));
    let mut import = Broken::begin(&registry);
    let digest = Digest::parse(&image.layer).unwrap();
    assert!(import.store.mount_blob(&import.name, &digest, None).unwrap());
    import.brought.blobs.insert(digest);
    import.fail();
    assert_eq!(registry.get(&format!("/v2/app/blobs/{}", image.layer)).status, 200);
    let swept = super::succeeded(super::run(&registry, "gc", &["--grace", "0s"]));
    assert!(swept.contains("1 blobs"), "{swept}");
    assert_eq!(registry.get(&format!("/v2/other/blobs/{}", image.layer)).status, 200);
    assert_sound(&registry);
}
