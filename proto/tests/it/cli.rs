//! The real `terraform` and `tofu`, each in a directory of its own, with the examples as providers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::plugin::example;

/// Which of them to drive: names or paths, separated by commas. Otherwise those on PATH.
const CLIS: &str = "TFPLUGIN_TEST_CLIS";

/// The command-line tools to test with.
///
/// None at all is a failure and no reason to pass: that a provider works is known only from them.
pub(crate) fn clis() -> Vec<PathBuf> {
    let wanted = std::env::var(CLIS).ok().filter(|wanted| !wanted.is_empty());
    let clis: Vec<PathBuf> = match &wanted {
        Some(wanted) => wanted.split(',').map(|name| PathBuf::from(name.trim())).collect(),
        None => ["terraform", "tofu"]
            .into_iter()
            .filter(|name| runs(Path::new(name)))
            .map(PathBuf::from)
            .collect(),
    };
    assert!(
        !clis.is_empty(),
        "neither `terraform` nor `tofu` is on PATH; install one, or name one in the environment variable {CLIS}",
    );
    for cli in &clis {
        assert!(runs(cli), "{} (from {CLIS}) cannot be started", cli.display());
    }
    clis
}

fn runs(cli: &Path) -> bool {
    Command::new(cli).arg("version").output().is_ok_and(|output| output.status.success())
}

/// A directory with a configuration, where one of the tools can be run.
pub(crate) struct Workspace {
    cli: PathBuf,
    directory: tempfile::TempDir,
}

/// The result of a run.
pub(crate) struct Ran {
    pub(crate) success: bool,
    /// Exit code 2 of a plan with `-detailed-exitcode`: there are changes.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workspace {
    /// An empty one, in which the examples are the providers `example/notebook` and
    /// `example/faulty`.
    pub(crate) fn new(cli: &Path) -> Self {
        let own = Self { cli: cli.to_path_buf(), directory: tempfile::tempdir().expect("a directory") };
        let plugins = own.path("plugins");
        std::fs::create_dir(&plugins).expect("a directory");
        std::fs::create_dir(own.path("notes")).expect("a directory");
        for name in ["notebook", "faulty"] {
            std::os::unix::fs::symlink(example(name), plugins.join(format!("terraform-provider-{name}")))
                .expect("a link");
        }
        let overrides =
            ["notebook", "faulty"].map(|name| format!("    {:?} = {plugins:?}\n", format!("example/{name}")));
        let config = format!(
            "provider_installation {{\n  dev_overrides {{\n{}  }}\n  direct {{}}\n}}\n",
            overrides.concat(),
        );
        own.write("cli.rc", &config);
        own
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Writes the configuration: the providers it needs, and this.
    pub(crate) fn configure(&self, text: &str) {
        let head = "terraform {\n  required_providers {\n    notebook = { source = \"example/notebook\" }\n    \
                    faulty = { source = \"example/faulty\" }\n  }\n}\n\n";
        self.write("main.tf", &format!("{head}{text}"));
    }

    /// The command, ready to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.cli);
        command
            .args(args)
            .arg("-no-color")
            .current_dir(self.directory.path())
            .env("TF_CLI_CONFIG_FILE", self.path("cli.rc"))
            .env("NOTEBOOK_DIRECTORY", self.path("notes"))
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_LOG")
            .env_remove("TF_LOG_PROVIDER");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("it can be started").into()
    }

    /// Applies, and expects it to work.
    pub(crate) fn apply(&self) -> Ran {
        let ran = self.run(&["apply", "-auto-approve", "-input=false"]);
        assert!(ran.success, "{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Plans, and expects there to be nothing to do.
    pub(crate) fn no_changes(&self) {
        let ran = self.run(&["plan", "-detailed-exitcode", "-input=false"]);
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    }

    /// The state file.
    pub(crate) fn state(&self) -> serde_json::Value {
        let text = std::fs::read(self.path("terraform.tfstate")).expect("a state");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The attributes of a resource in the state, if there is one of that name.
    pub(crate) fn attributes(&self, name: &str) -> Option<serde_json::Value> {
        let state = self.state();
        let resources = state["resources"].as_array().expect("resources");
        let own = resources.iter().find(|own| own["name"] == name && own["mode"] == "managed")?;
        Some(own["instances"][0]["attributes"].clone())
    }

    /// Whether a text is in a file here; the plugins and the notes themselves are not searched.
    pub(crate) fn files_with(&self, text: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).expect("a directory").map_while(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let found = files.filter(|entry| {
            let bytes = std::fs::read(entry.path()).expect("a file");
            entry.file_name() != "main.tf"
                && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        });
        found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            success: output.status.success(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
