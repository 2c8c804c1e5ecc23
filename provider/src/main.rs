//! The plugin that Terraform and OpenTofu start.

fn main() -> std::process::ExitCode {
    terraform_provider_integraci::server().serve()
}
