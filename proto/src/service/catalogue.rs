//! What a provider offers, by name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::erased::{
    AnyAction, AnyDataSource, AnyEphemeral, AnyFunction, AnyList, AnyProvider, AnyResource, Of,
};
use crate::schema::{ObjectSchema, faults};
use crate::value::Type;
use crate::{Action, DataSource, Diagnostic, EphemeralResource, Function, ListResource, Provider, Resource};

/// A schema, and the type of the values it describes.
pub(super) struct Described {
    pub(super) schema: ObjectSchema,
    pub(super) ty: Type,
}

/// Something on offer. Its schemas are made when they are first needed: a provider is started
/// thrice for an apply, and seldom uses all that it offers.
pub(super) struct Entry<T: ?Sized> {
    schema: OnceLock<Described>,
    identity: OnceLock<Described>,
    pub(super) code: Box<T>,
}

impl<T: ?Sized> Entry<T> {
    fn new(code: Box<T>) -> Self {
        Self { schema: OnceLock::new(), identity: OnceLock::new(), code }
    }
}

fn describe(schema: ObjectSchema) -> Described {
    Described { ty: schema.ty(), schema }
}

/// `described()` for each kind of entry.
macro_rules! described {
    ($($kind:ident $(<$api:ident>)?: $schema:ident),+) => {$(
        impl$(<$api>)? Entry<dyn $kind$(<$api>)?> {
            pub(super) fn described(&self) -> &Described {
                self.schema.get_or_init(|| describe(self.code.$schema()))
            }
        }
    )+};
}

described!(
    AnyProvider<Api>: schema,
    AnyResource<Api>: schema,
    AnyDataSource<Api>: schema,
    AnyEphemeral<Api>: schema,
    AnyFunction: parameters,
    AnyList<Api>: schema,
    AnyAction<Api>: schema
);

impl<Api> Entry<dyn AnyResource<Api>> {
    /// The identity, if it has one.
    pub(super) fn identity(&self) -> Option<&Described> {
        let identity = self.identity.get_or_init(|| describe(self.code.identity_schema()));
        (!identity.schema.attributes.is_empty()).then_some(identity)
    }
}

type ByName<T> = BTreeMap<&'static str, Entry<T>>;

/// What a provider offers, by name.
pub(crate) struct Catalogue<Api> {
    pub(super) provider: Entry<dyn AnyProvider<Api>>,
    pub(super) resources: ByName<dyn AnyResource<Api>>,
    pub(super) data_sources: ByName<dyn AnyDataSource<Api>>,
    pub(super) ephemeral: ByName<dyn AnyEphemeral<Api>>,
    pub(super) functions: ByName<dyn AnyFunction>,
    pub(super) lists: ByName<dyn AnyList<Api>>,
    pub(super) actions: ByName<dyn AnyAction<Api>>,
}

impl<Api: Send + Sync + 'static> Catalogue<Api> {
    pub(crate) fn new<P: Provider<Api = Api>>() -> Self {
        Self {
            provider: Entry::new(Box::new(Of::<P>::new())),
            resources: BTreeMap::new(),
            data_sources: BTreeMap::new(),
            ephemeral: BTreeMap::new(),
            functions: BTreeMap::new(),
            lists: BTreeMap::new(),
            actions: BTreeMap::new(),
        }
    }

    pub(crate) fn resource<R: Resource<Api = Api>>(&mut self) {
        self.resources.insert(R::NAME, Entry::new(Box::new(Of::<R>::new())));
    }

    pub(crate) fn data_source<D: DataSource<Api = Api>>(&mut self) {
        self.data_sources.insert(D::NAME, Entry::new(Box::new(Of::<D>::new())));
    }

    pub(crate) fn ephemeral<E: EphemeralResource<Api = Api>>(&mut self) {
        self.ephemeral.insert(E::NAME, Entry::new(Box::new(Of::<E>::new())));
    }

    pub(crate) fn function<F: Function>(&mut self) {
        self.functions.insert(F::NAME, Entry::new(Box::new(Of::<F>::new())));
    }

    pub(crate) fn list<L: ListResource<Resource: Resource<Api = Api>>>(&mut self) {
        self.lists.insert(L::Resource::NAME, Entry::new(Box::new(Of::<L>::new())));
    }

    pub(crate) fn action<A: Action<Api = Api>>(&mut self) {
        self.actions.insert(A::NAME, Entry::new(Box::new(Of::<A>::new())));
    }

    /// What core, or a user, would stumble over in the schemas.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut found = faults::provider(&self.provider.described().schema);
        for (name, entry) in &self.resources {
            found.extend(faults::resource(name, &entry.described().schema));
            found.extend(entry.identity().into_iter().flat_map(|own| faults::identity(name, &own.schema)));
        }
        for (name, entry) in &self.data_sources {
            found.extend(faults::without_storage(name, &entry.described().schema));
        }
        for (name, entry) in &self.ephemeral {
            found.extend(faults::without_storage(name, &entry.described().schema));
        }
        for (name, entry) in &self.actions {
            found.extend(faults::without_storage(name, &entry.described().schema));
        }
        for (name, entry) in &self.functions {
            found.extend(faults::function(name, &entry.described().schema));
        }
        for name in self.lists.keys() {
            match self.resources.get(name) {
                None => found.push(format!("{name}: a listing of a resource that is not offered")),
                Some(resource) if resource.identity().is_none() => {
                    found.push(format!("{name}: a listing of a resource that has no identity"));
                }
                Some(_) => {}
            }
        }
        found
    }
}

/// Core asks for names that GetProviderSchema has given; another one is the fault of a cache.
pub(super) fn find<'a, T: ?Sized>(
    entries: &'a ByName<T>,
    kind: &str,
    name: &str,
) -> Result<&'a Entry<T>, Diagnostic> {
    entries.get(name).ok_or_else(|| {
        Diagnostic::error(format!("There is no {kind} `{name}`"))
            .detail("This version of the provider does not offer it.")
    })
}
