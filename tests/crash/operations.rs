//! The operations that are broken off: what was done before, and what is being done.

use crate::acts::Act::{
    self, Age, Ask, Begin, Cancel, DeleteBlob, DeleteManifest, DeleteTag, Disturb, Finish, Import, Manifest,
    Mount, Open, Push, PushAtOnce, Repair, Rot, Sweep, SweepUntagged,
};

/// Something that is done to a store which is in a certain state, step by step.
pub struct Operation {
    pub name: &'static str,
    /// What was done before, and is on disk for good.
    pub before: &'static [Act],
    /// What another process did just before, and was killed at.
    pub meanwhile: &'static [Act],
    /// What is broken off somewhere.
    pub acts: &'static [Act],
}

impl Operation {
    const fn alone(name: &'static str, before: &'static [Act], acts: &'static [Act]) -> Self {
        Self { name, before, meanwhile: &[], acts }
    }
}

const IMAGE: &[Act] = &[PushAtOnce("a", "config"), PushAtOnce("a", "layer")];
const TAGGED: &[Act] =
    &[PushAtOnce("a", "config"), PushAtOnce("a", "layer"), Manifest("a", "image", &["v1", "v2"])];
const SIGNED: &[Act] = &[
    PushAtOnce("a", "config"),
    PushAtOnce("a", "layer"),
    Manifest("a", "image", &["v1"]),
    Manifest("a", "signature", &["s1", "s2"]),
];

/// Everything that changes a store.
pub const OPERATIONS: &[Operation] = &[
    Operation::alone("push a blob", &[], &[Push("a", "layer")]),
    Operation::alone("push a blob at once", &[], &[PushAtOnce("a", "layer")]),
    Operation::alone(
        "push a blob that another repository has",
        &[PushAtOnce("b", "layer")],
        &[PushAtOnce("a", "layer")],
    ),
    Operation::alone("mount a blob", &[PushAtOnce("b", "layer")], &[Mount("a", "layer", "b")]),
    Operation::alone(
        "push over a blob that has rotten",
        &[PushAtOnce("a", "layer"), Rot("layer")],
        &[PushAtOnce("a", "layer")],
    ),
    Operation::alone("begin an upload", &[], &[Begin("a", "layer")]),
    Operation::alone("finish another process's upload", &[Begin("a", "layer")], &[Finish("a", "layer")]),
    Operation::alone("cancel an upload", &[Begin("a", "layer")], &[Cancel("a", "layer")]),
    Operation::alone("push a manifest with tags", IMAGE, &[Manifest("a", "image", &["v1", "v2"])]),
    Operation::alone("push a manifest with a subject", TAGGED, &[Manifest("a", "signature", &["s1"])]),
    Operation::alone(
        "move a tag to a new manifest",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            PushAtOnce("a", "patch"),
        ],
        &[Manifest("a", "next", &["v1"])],
    ),
    Operation::alone("import a layout", &[PushAtOnce("a", "config")], &[Import("a", "image", &["v1", "v2"])]),
    Operation::alone(
        "import a layout whose blobs another repository has",
        &[PushAtOnce("b", "config"), PushAtOnce("b", "layer")],
        &[Import("a", "image", &["v1"])],
    ),
    Operation::alone(
        "import a layout that moves a tag",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            PushAtOnce("a", "patch"),
        ],
        &[Import("a", "next", &["v1"])],
    ),
    Operation::alone("import a signature", TAGGED, &[Import("a", "signature", &["s1"])]),
    Operation::alone("set a tag again", TAGGED, &[Manifest("a", "image", &["v1"])]),
    Operation::alone(
        "push over a manifest that has rotten",
        &[PushAtOnce("a", "config"), PushAtOnce("a", "layer"), Manifest("a", "image", &[]), Rot("image")],
        &[Manifest("a", "image", &["v1"])],
    ),
    Operation::alone(
        "push a manifest that is lost",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &[]),
            Rot("image"),
            Repair,
        ],
        &[Manifest("a", "image", &["v1"])],
    ),
    Operation::alone("delete a tag", TAGGED, &[DeleteTag("a", "v1")]),
    Operation::alone("delete a manifest with tags", TAGGED, &[DeleteManifest("a", "image")]),
    Operation::alone(
        "delete a manifest with a subject and tags",
        SIGNED,
        &[DeleteManifest("a", "signature")],
    ),
    Operation::alone("delete a blob", &[PushAtOnce("a", "layer")], &[DeleteBlob("a", "layer")]),
    Operation::alone(
        "delete a blob that another repository has",
        &[PushAtOnce("a", "layer"), Mount("b", "layer", "a")],
        &[DeleteBlob("a", "layer")],
    ),
    Operation::alone("ask for an old blob", &[PushAtOnce("a", "layer"), Age("layer")], &[Ask("a", "layer")]),
    Operation::alone(
        "push an old blob again",
        &[PushAtOnce("a", "layer"), Age("layer")],
        &[PushAtOnce("a", "layer")],
    ),
    Operation::alone(
        "sweep two stray blobs, one of which another repository has",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            PushAtOnce("a", "patch"),
            PushAtOnce("b", "config"),
            PushAtOnce("b", "patch"),
            Manifest("b", "next", &["v1"]),
            PushAtOnce("b", "layer"),
        ],
        &[Sweep],
    ),
    Operation::alone("sweep a repository that is empty then", &[PushAtOnce("a", "layer")], &[Sweep]),
    Operation::alone(
        "sweep an untagged index and its child",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &[]),
            Manifest("a", "index", &[]),
        ],
        &[SweepUntagged],
    ),
    Operation::alone(
        "sweep an untagged signature",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            Manifest("a", "signature", &[]),
            DeleteManifest("a", "image"),
        ],
        &[SweepUntagged],
    ),
    Operation::alone(
        "sweep the history of a tag that is gone with what it was",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "patch"),
            Manifest("a", "signature", &["v1"]),
            Manifest("a", "next", &["v2"]),
            DeleteManifest("a", "signature"),
        ],
        &[Sweep],
    ),
    Operation::alone("sweep an upload session", &[Begin("a", "layer")], &[Sweep]),
];

/// A registry's life in short, from the first start.
pub const LIFE: Operation = Operation {
    name: "a registry's life",
    before: &[],
    meanwhile: &[],
    acts: &[
        Open,
        Push("a", "layer"),
        PushAtOnce("a", "config"),
        Manifest("a", "image", &["v1", "v2"]),
        Mount("b", "layer", "a"),
        PushAtOnce("a", "patch"),
        Manifest("a", "next", &["v1"]),
        Manifest("a", "signature", &["s1"]),
        DeleteTag("a", "v2"),
        DeleteManifest("a", "image"),
        DeleteManifest("a", "signature"),
        DeleteBlob("a", "layer"),
        DeleteBlob("b", "layer"),
        PushAtOnce("b", "layer"),
        Sweep,
        PushAtOnce("a", "config"),
        PushAtOnce("a", "layer"),
        Manifest("a", "image", &[]),
        Sweep,
        SweepUntagged,
        PushAtOnce("a", "layer"),
    ],
};

/// Two processes at once: one is killed somewhere (`meanwhile`), the other comes to its end, and then the power
/// goes. What the first has not synced must not be taken for certain by the second.
pub const TOGETHER: &[Operation] = &[
    Operation {
        name: "two push the same blob",
        before: &[],
        meanwhile: &[PushAtOnce("a", "layer")],
        acts: &[PushAtOnce("a", "layer")],
    },
    Operation {
        name: "a blob into a repository that is just being made",
        before: &[],
        meanwhile: &[PushAtOnce("a", "layer")],
        acts: &[PushAtOnce("a", "config")],
    },
    Operation {
        name: "mount what is just being pushed",
        before: &[],
        meanwhile: &[PushAtOnce("b", "layer")],
        acts: &[Mount("a", "layer", "b")],
    },
    Operation {
        name: "mount what is just being mounted",
        before: &[PushAtOnce("b", "layer")],
        meanwhile: &[Mount("a", "layer", "b")],
        acts: &[Mount("a", "layer", "b")],
    },
    Operation {
        name: "a manifest whose layer is just being pushed",
        before: &[PushAtOnce("a", "config")],
        meanwhile: &[PushAtOnce("a", "layer")],
        acts: &[Manifest("a", "image", &["v1"])],
    },
    Operation {
        name: "two push the same manifest",
        before: IMAGE,
        meanwhile: &[Manifest("a", "image", &["v1"])],
        acts: &[Manifest("a", "image", &["v2"])],
    },
    Operation {
        name: "two push the same referrer",
        before: TAGGED,
        meanwhile: &[Manifest("a", "signature", &["s1"])],
        acts: &[Manifest("a", "signature", &["s1"])],
    },
    Operation {
        name: "delete the manifest from which a tag just moves",
        before: &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            PushAtOnce("a", "patch"),
        ],
        meanwhile: &[Manifest("a", "next", &["v1"])],
        acts: &[DeleteManifest("a", "image")],
    },
    Operation {
        name: "delete the manifest whose tag is just being deleted",
        before: TAGGED,
        meanwhile: &[DeleteTag("a", "v1")],
        acts: &[DeleteManifest("a", "image")],
    },
    Operation {
        name: "two delete the same manifest",
        before: SIGNED,
        meanwhile: &[DeleteManifest("a", "signature")],
        acts: &[DeleteManifest("a", "signature")],
    },
    Operation {
        name: "delete a blob from the two repositories that have it",
        before: &[PushAtOnce("a", "layer"), Mount("b", "layer", "a")],
        meanwhile: &[DeleteBlob("a", "layer")],
        acts: &[DeleteBlob("b", "layer")],
    },
    Operation {
        name: "two push over a blob that has rotten",
        before: &[PushAtOnce("a", "layer"), Rot("layer")],
        meanwhile: &[PushAtOnce("a", "layer")],
        acts: &[PushAtOnce("a", "layer")],
    },
    Operation {
        name: "push a blob that is just being deleted",
        before: &[PushAtOnce("a", "layer")],
        meanwhile: &[DeleteBlob("a", "layer")],
        acts: &[PushAtOnce("a", "layer")],
    },
    Operation {
        name: "push a manifest that is just being deleted",
        before: TAGGED,
        meanwhile: &[DeleteManifest("a", "image")],
        acts: &[Manifest("a", "image", &["v1"])],
    },
    Operation {
        name: "finish what another process was finishing",
        before: &[Begin("a", "layer")],
        meanwhile: &[Finish("a", "layer")],
        acts: &[Finish("a", "layer")],
    },
    Operation {
        name: "send more to an upload that another process was finishing",
        before: &[Begin("a", "layer")],
        meanwhile: &[Finish("a", "layer")],
        acts: &[Disturb("a", "layer")],
    },
    Operation {
        name: "sweep what a push has left",
        before: &[],
        meanwhile: &[Push("a", "layer")],
        acts: &[Sweep],
    },
    Operation {
        name: "sweep what a push of a signature has left",
        before: TAGGED,
        meanwhile: &[Manifest("a", "signature", &["s1"])],
        acts: &[SweepUntagged],
    },
    Operation {
        name: "sweep an image whose tag is just being deleted",
        before: &[PushAtOnce("a", "config"), PushAtOnce("a", "layer"), Manifest("a", "image", &["v1"])],
        meanwhile: &[DeleteTag("a", "v1")],
        acts: &[SweepUntagged],
    },
    Operation {
        name: "sweep an image from which its tag just moves",
        before: &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &["v1"]),
            PushAtOnce("a", "patch"),
        ],
        meanwhile: &[Manifest("a", "next", &["v1"])],
        acts: &[SweepUntagged],
    },
    Operation {
        name: "sweep the layers of an image that is just being deleted",
        before: TAGGED,
        meanwhile: &[DeleteManifest("a", "image")],
        acts: &[Sweep],
    },
    Operation {
        name: "sweep where another sweep broke off",
        before: &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            Manifest("a", "image", &[]),
            Manifest("a", "index", &[]),
        ],
        meanwhile: &[SweepUntagged],
        acts: &[SweepUntagged],
    },
    Operation {
        name: "push into a repository that is just being swept away",
        before: &[PushAtOnce("a", "layer")],
        meanwhile: &[Sweep],
        acts: &[PushAtOnce("a", "layer")],
    },
    Operation {
        name: "push a manifest into a repository that is just being swept",
        before: &[PushAtOnce("a", "config"), PushAtOnce("a", "layer"), PushAtOnce("a", "patch")],
        meanwhile: &[Sweep],
        acts: &[Manifest("a", "image", &["v1"])],
    },
];

/// With a blob that has all the links it can have.
pub const AT_THE_LIMIT: &[Operation] = &[
    Operation::alone(
        "mount a blob at the limit",
        &[PushAtOnce("b", "layer"), Mount("c", "layer", "b")],
        &[Mount("a", "layer", "b")],
    ),
    Operation::alone(
        "push a blob at the limit",
        &[PushAtOnce("b", "layer"), Mount("c", "layer", "b")],
        &[Push("a", "layer")],
    ),
    Operation::alone(
        "push a manifest at the limit",
        &[
            PushAtOnce("a", "config"),
            PushAtOnce("a", "layer"),
            PushAtOnce("b", "config"),
            PushAtOnce("b", "layer"),
            PushAtOnce("c", "config"),
            PushAtOnce("c", "layer"),
            Manifest("b", "image", &["v1"]),
            Manifest("c", "image", &["v1"]),
        ],
        &[Manifest("a", "image", &["v1"])],
    ),
];

/// All operations by name, for the child.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(TOGETHER).chain([&LIFE])
}
