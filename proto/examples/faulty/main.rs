//! A provider that does what a provider should not: it panics, dawdles and lies.
//!
//! The tests of this crate start it to see what becomes of that. Nothing to copy from here: look at
//! `notebook`.

use std::process::ExitCode;

use tfplugin::{
    Client, Cx, DataSource, Diagnostic, Diagnostics, Function, FunctionError, Planned, Provider, Resource,
    Saved, Schema, Server, Value,
};

/// Does what a provider should not.
#[derive(Schema)]
struct Faulty {}

impl Provider for Faulty {
    type Api = ();

    const NAME: &'static str = "faulty";

    async fn configure(_config: Self, _client: &Client, _diags: &mut Diagnostics) -> Option<()> {
        Some(())
    }
}

/// Fails in the way that is asked for.
#[derive(Schema, Default)]
struct Thing {
    /// Identifies it.
    #[attribute(computed, keeps_prior)]
    id: Value<String>,
    /// Where and how to fail.
    #[attribute(optional)]
    fault: Value<String>,
    /// A name, which can be changed.
    #[attribute(optional)]
    name: Value<String>,
    /// When it was changed.
    #[attribute(computed)]
    stamp: Value<String>,
}

impl Thing {
    fn fails(&self, fault: &str) -> bool {
        self.fault.as_deref() == Some(fault)
    }

    #[expect(clippy::panic, reason = "it is what this provider is for")]
    fn panic_if(&self, fault: &str) {
        if self.fails(fault) {
            panic!("a panic with a s3cret in its message");
        }
    }
}

impl Resource for Thing {
    type Api = ();
    type Identity = tfplugin::NoIdentity;

    const NAME: &'static str = "faulty_thing";

    fn validate(config: &Self, _diags: &mut Diagnostics) {
        config.panic_if("panic in validate");
    }

    async fn plan(_cx: &Cx<()>, plan: &mut tfplugin::Plan<Self>) -> Result<(), Diagnostics> {
        plan.config.panic_if("panic in plan");
        if plan.config.fails("force update") {
            plan.force_update();
        }
        if plan.config.fails("force replacement") && !plan.is_create() {
            plan.planned.stamp = Value::Unknown;
            plan.replace("stamp");
        }
        Ok(())
    }

    async fn create(cx: &Cx<()>, plan: Planned<Self>, saved: &mut Saved<Self>) -> Result<(), Diagnostics> {
        plan.panic_if("panic in create");
        let fault = plan.fault.as_deref().unwrap_or_default().to_owned();
        let created = || Self {
            id: Value::known("thing-1"),
            fault: plan.fault.clone(),
            name: plan.name.clone(),
            stamp: Value::Null,
        };
        match &*fault {
            "save and panic" => {
                saved.set(created());
                created().panic_if("save and panic");
            }
            "save and fail" => {
                // Before the id is known: what is unknown has to be null in the state that is kept.
                saved.set(plan.into_inner());
                return Err(Diagnostic::error("It was created, but is not well").at("name").into());
            }
            "leave unknown" => saved.set(plan.into_inner()),
            "save nothing" => {}
            "wait" => {
                saved.set(created());
                // Written where the test can see it, so that it knows when to interrupt.
                if let Some(path) = std::env::var_os("FAULTY_WAITING") {
                    std::fs::write(path, "waiting").map_err(|_| Diagnostic::error("cannot write"))?;
                }
                cx.wait(std::future::pending::<()>()).await?;
            }
            _ => saved.set(created()),
        }
        Ok(())
    }

    async fn read(_cx: &Cx<()>, state: Self) -> Result<Option<Self>, Diagnostics> {
        state.panic_if("panic in read");
        if state.fails("wait in read") {
            std::future::pending::<()>().await;
        }
        if state.fails("vanish") { Ok(None) } else { Ok(Some(state)) }
    }

    async fn update(
        _cx: &Cx<()>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        plan.panic_if("panic in update");
        saved.set(Self { id: prior.id, ..plan.into_inner() });
        Ok(())
    }

    async fn delete(_cx: &Cx<()>, state: Self) -> Result<(), Diagnostics> {
        state.panic_if("panic in delete");
        Ok(())
    }
}

/// Fails in the way that is asked for.
#[derive(Schema)]
struct ThingData {
    /// Where and how to fail.
    #[attribute(optional)]
    fault: Value<String>,
    /// What is known of it.
    #[attribute(computed)]
    known: Value<String>,
}

impl DataSource for ThingData {
    type Api = ();

    const NAME: &'static str = "faulty_thing";

    #[expect(clippy::panic, reason = "it is what this provider is for")]
    async fn read(_cx: &Cx<()>, config: Self) -> Result<Self, Diagnostics> {
        match config.fault.as_deref() {
            Some("panic") => panic!("a panic with a s3cret in its message"),
            Some("leave unknown") => Ok(Self { known: Value::Unknown, ..config }),
            _ => Ok(Self { known: Value::known("it"), ..config }),
        }
    }
}

/// Panics.
#[derive(Schema)]
struct Panic {
    /// The first of two.
    #[attribute(required)]
    dividend: i64,
    /// Zero panics.
    #[attribute(required)]
    divisor: i64,
}

impl Function for Panic {
    type Output = i64;

    const NAME: &'static str = "divide";

    async fn call(self) -> Result<i64, FunctionError> {
        Ok(self.dividend / self.divisor)
    }
}

fn main() -> ExitCode {
    Server::<Faulty>::new("registry.terraform.io/example/faulty")
        .resource::<Thing>()
        .data_source::<ThingData>()
        .function::<Panic>()
        .serve()
}
