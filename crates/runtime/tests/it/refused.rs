//! Bytes that are not a model, each refused for its own reason.

use std::time::Duration;

use weir_runtime::{
    CompileError, DescriptionError, Limits, LoadError, NotAComponent, Runtime, Template,
    TemplateError,
};

use crate::data::{TEMPLATE, runtime};
use crate::guest::{Guest, UNREACHABLE, of_another_world, of_other_types};

fn refusal(runtime: &Runtime, bytes: &[u8]) -> LoadError {
    let error = runtime.load(bytes).map(|model| model.description().clone()).unwrap_err();
    serves_on(runtime);
    error
}

/// The runtime still loads and runs a good model.
pub(crate) fn serves_on(runtime: &Runtime) {
    let model = runtime.load(&Guest::good().component()).unwrap();
    let predictions = model.predictor().predict(&[1.5, -2.0], &[]).unwrap();
    assert_eq!(predictions.values, [1.5, -2.0]);
}

#[test]
fn bytes_that_are_no_component() {
    let runtime = runtime();
    let cases = [
        (vec![], NotAComponent::Empty),
        (Guest::good().core_module(), NotAComponent::CoreModule),
        (b"\x7fELF and then some".to_vec(), NotAComponent::MachineCode),
        (b"garbage, and not little of it".to_vec(), NotAComponent::Unknown),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(&runtime, &bytes), LoadError::NotAComponent(expected));
    }
}

#[test]
fn a_component_cut_short_anywhere() {
    let runtime = runtime();
    let whole = Guest::good().component();
    for length in [9, 100, whole.len() / 2, whole.len() - 1] {
        let error = runtime.load(&whole[..length]).unwrap_err();
        assert!(matches!(error, LoadError::Compile(CompileError::Invalid(_))), "{error:?}");
    }
    serves_on(&runtime);
}

#[test]
fn a_component_that_is_too_large() {
    let runtime = runtime();
    let max = runtime.limits().component_bytes_max;
    let mut bytes = Guest::good().component();
    bytes.resize(max + 1, 0);
    assert_eq!(refusal(&runtime, &bytes), LoadError::TooLarge { bytes: max + 1, max });
}

#[test]
fn a_component_that_compiles_for_too_long() {
    let instant = Duration::from_millis(1);
    let limits = Limits { tick: instant, compile_deadline: instant, ..Limits::default() };
    let error = Runtime::new(limits).unwrap().load(TEMPLATE).unwrap_err();
    assert_eq!(error, LoadError::Compile(CompileError::Deadline(instant)));
}

#[test]
fn a_component_of_another_world() {
    let runtime = runtime();
    let import = refusal(&runtime, &Guest::good().importing());
    assert_eq!(import, LoadError::Import("test:clocked/clock".into()));
    assert_eq!(refusal(&runtime, &of_another_world()), LoadError::Export("now".into()));
    let types = refusal(&runtime, &of_other_types());
    assert!(matches!(types, LoadError::World(_)), "{types:?}");
    let nothing = refusal(&runtime, b"\0asm\x0d\0\x01\0");
    assert!(matches!(nothing, LoadError::World(_)), "{nothing:?}");
}

#[test]
fn a_component_that_lies_about_itself() {
    let runtime = runtime();
    let mut guest = Guest::good();
    // `report.rank`, while there are no terms.
    guest.description[56 + 4] = 1;
    let expected = DescriptionError::Contradiction("rank is not the number of estimates");
    assert_eq!(refusal(&runtime, &guest.component()), LoadError::Description(expected));
}

#[test]
fn a_trained_component_as_template() {
    let runtime = runtime();
    let error = Template::new(&runtime, &Guest::good().component()).unwrap_err();
    assert_eq!(error, TemplateError::Trained);
}

#[test]
fn a_template_that_changes_its_tables() {
    let runtime = runtime();
    let more = "(table $t 1 funcref) (func $set (table.set $t (i32.const 0) (ref.null func)))";
    let guest = Guest { more, ..Guest::template(UNREACHABLE) };
    let error = Template::new(&runtime, &guest.component()).unwrap_err();
    let TemplateError::Unsupported(reason) = error else { panic!("{error:?}") };
    assert!(reason.contains("table.set"), "{reason}");
}
