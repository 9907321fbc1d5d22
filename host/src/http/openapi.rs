//! The interface's description (OpenAPI), with the columns of this line.

use std::sync::Arc;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, events, models, predict, status};

/// The routes of the interface, and their description.
pub(super) fn routes(schema: &weir_events::Schema) -> (axum::Router<Arc<App>>, OpenApi) {
    let info = InfoBuilder::new()
        .title("Weir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Predictions, model versions and drift of one line. Reading is open to whoever reaches the port; writing \
             needs a token.",
        ))
        .build();
    let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new().security_scheme("token", token).build();
    let described = OpenApiBuilder::new().info(info).components(Some(components)).build();
    let (router, mut api) = OpenApiRouter::with_openapi(described)
        .routes(routes!(predict::one))
        .routes(routes!(predict::many))
        .routes(routes!(models::list))
        .routes(routes!(models::inspect))
        .routes(routes!(models::card))
        .routes(routes!(models::component))
        .routes(routes!(models::train))
        .routes(routes!(models::promote))
        .routes(routes!(models::rollback))
        .routes(routes!(status::status))
        .routes(routes!(status::windows))
        .routes(routes!(status::drift))
        .routes(routes!(events::events))
        .split_for_parts();
    let item = api.paths.paths.get_mut("/prediction");
    if let Some(operation) = item.and_then(|item| item.get.as_mut()) {
        operation.parameters = Some(parameters(schema));
    }
    let item = api.paths.paths.get_mut("/predict");
    let body = item.and_then(|item| item.post.as_mut()?.request_body.as_mut());
    if let Some(RefOr::T(body)) = body
        && let Some(RefOr::T(content)) = body.content.get_mut("application/json")
    {
        content.schema = Some(rows(schema));
    }
    (router, api)
}

fn number(schema: &weir_events::Schema, column: &str) -> ObjectBuilder {
    let range = schema.range(column);
    ObjectBuilder::new().schema_type(Type::Number).minimum(range.min).maximum(range.max)
}

fn parameters(schema: &weir_events::Schema) -> Vec<RefOr<Parameter>> {
    let parameter = |name: &str, kind: ObjectBuilder, required: Required| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        RefOr::T(parameter.required(required).schema(Some(kind)).build())
    };
    let features = schema.features.iter();
    let features = features.map(|name| parameter(name, number(schema, name), Required::True));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let factor = schema.factor.iter();
    // A model that has seen one level alone does not ask for it.
    features.chain(factor.map(|name| parameter(name, text(), Required::False))).collect()
}

fn rows(schema: &weir_events::Schema) -> RefOr<Schema> {
    let mut row = ObjectBuilder::new().schema_type(Type::Object);
    for name in &schema.features {
        row = row.property(name, number(schema, name)).required(name);
    }
    if let Some(name) = &schema.factor {
        row = row.property(name, ObjectBuilder::new().schema_type(Type::String)).required(name);
    }
    let rows = utoipa::openapi::schema::ArrayBuilder::new().items(row).max_items(Some(1_000));
    RefOr::T(Schema::Array(rows.build()))
}
