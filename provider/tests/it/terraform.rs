//! Runs the real `terraform` on a configuration, with this build of the provider.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A folder with a configuration and its state.
pub(crate) struct Terraform {
    folder: TempDir,
    endpoint: String,
    proxy: String,
}

/// How a run ended, and all that it wrote.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) text: String,
}

const HEAD: &str = r#"
terraform {
  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
  }
}
"#;

impl Terraform {
    pub(crate) fn new(endpoint: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let plugin = Path::new(env!("CARGO_BIN_EXE_terraform-provider-integraci")).parent().unwrap();
        let rc = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"integraci/integraci\" = {plugin:?}\n  }}\n}}\n"
        );
        std::fs::write(folder.path().join("rc"), rc).unwrap();
        Self { folder, endpoint: endpoint.to_owned(), proxy: String::new() }
    }

    /// The same behind a proxy.
    pub(crate) fn through(mut self, proxy: &str) -> Self {
        proxy.clone_into(&mut self.proxy);
        self
    }

    pub(crate) fn configure(&self, configuration: &str) -> &Self {
        std::fs::write(self.folder.path().join("main.tf"), format!("{HEAD}{configuration}")).unwrap();
        self
    }

    /// With a configuration that has its own block `terraform`.
    pub(crate) fn configure_whole(&self, configuration: &str) -> &Self {
        std::fs::write(self.folder.path().join("main.tf"), configuration).unwrap();
        self
    }

    pub(crate) fn state(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("terraform.tfstate")).unwrap()
    }

    /// `plan`: 0 says that nothing would change, 2 that something would.
    pub(crate) async fn plan(&self) -> Ran {
        self.run(&["plan", "-detailed-exitcode"]).await
    }

    pub(crate) async fn apply(&self) -> Ran {
        self.run(&["apply", "-auto-approve"]).await
    }

    pub(crate) async fn destroy(&self) -> Ran {
        self.run(&["destroy", "-auto-approve"]).await
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).end().await
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let child = Command::new("terraform")
            .args(arguments)
            .arg("-no-color")
            .current_dir(self.folder.path())
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("rc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env("INTEGRACI_ENDPOINT", &self.endpoint)
            .env("INTEGRACI_TOKEN", "ici_test")
            .env("HTTP_PROXY", &self.proxy)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("terraform must be installed: see README.md");
        Running(child)
    }
}

/// A run that has not ended yet.
pub(crate) struct Running(Child);

impl Running {
    /// What Ctrl-C does.
    pub(crate) async fn interrupt(&self) {
        let id = self.0.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    }

    pub(crate) async fn end(self) -> Ran {
        let output = self.0.wait_with_output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        Ran { code: output.status.code().unwrap(), text: String::from_utf8(text).unwrap() }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(matches!(self.code, 0 | 2), "{}", self.text);
        self.text
    }

    /// The text of a run that must have failed, with its lines joined as they were written.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, 1, "{}", self.text);
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
