//! CallFunction.

use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;

use super::guard::panicked;
use super::{Service, convert};
use crate::FunctionError;
use crate::value::{Dynamic, Type};
use crate::wire::tfplugin6 as pb;

pub(super) async fn call<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::call_function::Request,
) -> pb::call_function::Response {
    match result(service, request).await {
        Ok(result) => pb::call_function::Response { result: Some(result), error: None },
        Err(FunctionError { text, argument }) => pb::call_function::Response {
            result: None,
            error: Some(pb::FunctionError { text, function_argument: argument }),
        },
    }
}

async fn result<Api: Send + Sync + 'static>(
    service: &Service<Api>,
    request: pb::call_function::Request,
) -> Result<pb::DynamicValue, FunctionError> {
    let name = request.name;
    let entry = service
        .catalogue()
        .functions
        .get(&*name)
        .ok_or_else(|| FunctionError::new(format!("There is no function `{name}` in this provider.")))?;
    let parameters = &entry.described().schema.attributes;

    // Arguments come by position, and what remains of them for the last parameter that takes many.
    let mut fields = Vec::new();
    let mut arguments = request.arguments.iter();
    let mut position: u32 = 0;
    let mut read = |argument: &pb::DynamicValue, ty: &Type| {
        let value = convert::decode(Some(argument), ty)
            .map_err(|fault| FunctionError::new(fault.detail_text()).argument(position));
        position += 1;
        value
    };
    for own in parameters {
        let value = match own.shape.ty() {
            Type::List(element) if own.variadic => {
                let rest: Result<_, _> =
                    arguments.by_ref().map(|argument| read(argument, &element)).collect();
                Dynamic::List(rest?)
            }
            ty => {
                let argument = arguments.next();
                read(argument.ok_or_else(|| FunctionError::new("An argument is missing."))?, &ty)?
            }
        };
        fields.push((own.name.clone(), value));
    }

    let called =
        AssertUnwindSafe(entry.code.call(Dynamic::Object(fields.into_iter().collect()))).catch_unwind();
    let result = called
        .await
        .unwrap_or_else(|_| Err(FunctionError::new(panicked(&format!("compute `{name}`")).detail_text())))?;
    convert::encode(&result, &entry.code.output().ty())
        .map_err(|fault| FunctionError::new(fault.detail_text()))
}
