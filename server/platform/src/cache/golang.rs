//! Systems that are built from source with Go, because nothing distributes them for every machine
//! through a registry: each is a module under `tools/` with its checksums committed.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use super::{Entry, tool};
use crate::error::At as _;
use crate::{Error, Progress};

/// A Go module and the programs to build from it.
pub(super) struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
    programs: &'static [Program],
    /// How long it takes, so that nobody thinks it hangs.
    about: &'static str,
}

struct Program {
    name: &'static str,
    package: &'static str,
    /// A variable to set at link time, so that the program gives its version as a release does.
    set: Option<&'static str>,
}

pub(super) const KUBERNETES: Module = Module {
    go_mod: include_str!("../../tools/kubernetes/go.mod"),
    go_sum: include_str!("../../tools/kubernetes/go.sum"),
    about: "about five minutes, once",
    programs: &[
        Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", set: None },
        Program {
            name: "kube-apiserver",
            package: "k8s.io/kubernetes/cmd/kube-apiserver",
            set: Some("k8s.io/component-base/version.gitVersion=v{version}"),
        },
        Program {
            name: "kube-controller-manager",
            package: "k8s.io/kubernetes/cmd/kube-controller-manager",
            set: Some("k8s.io/component-base/version.gitVersion=v{version}"),
        },
    ],
};

pub(super) const REGISTRY: Module = Module {
    go_mod: include_str!("../../tools/registry/go.mod"),
    go_sum: include_str!("../../tools/registry/go.sum"),
    about: "about three minutes, once",
    programs: &[Program {
        name: "registry",
        package: "github.com/distribution/distribution/v3/cmd/registry",
        set: Some("github.com/distribution/distribution/v3/version.version=v{version}"),
    }],
};

pub(super) const OPENTOFU: Module = Module {
    go_mod: include_str!("../../tools/opentofu/go.mod"),
    go_sum: include_str!("../../tools/opentofu/go.sum"),
    about: "about three minutes, once",
    programs: &[Program {
        name: "tofu",
        package: "github.com/opentofu/opentofu/cmd/tofu",
        set: Some("github.com/opentofu/opentofu/version.dev=no"),
    }],
};

impl Module {
    pub(super) async fn build(&self, entry: Entry, into: &Path, progress: &Progress) -> Result<(), Error> {
        let go = tool::require(&["go"], entry, "go", "install Go 1.26 or later, see https://go.dev/dl")?;
        let phase = progress.phase(entry.name);
        progress.say(entry.name, format_args!("building {} from source ({})", entry.version, self.about));
        let module = into.with_file_name("module");
        fs::create_dir(&module).at("making the directory", &module)?;
        for (name, content) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            let file = module.join(name);
            fs::write(&file, content).at("writing", &file)?;
        }
        for program in self.programs {
            // `-s -w` leaves out what only a debugger reads: half the size.
            let mut link = "-s -w".to_owned();
            if let Some(set) = program.set {
                link.push_str(" -X ");
                link.push_str(&set.replace("{version}", entry.version));
            }
            tool::run(
                entry,
                Command::new(&go)
                    // The module is no part of whatever repository or workspace is around it.
                    .env("GOWORK", "off")
                    .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", &link, "-o"])
                    .arg(into.join(program.name))
                    .arg(program.package)
                    .current_dir(&module),
            )
            .await?;
        }
        phase.done(format_args!("built {}", entry.version));
        Ok(())
    }
}
