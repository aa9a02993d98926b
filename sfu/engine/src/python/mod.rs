//! The Python face of the engine; the only place that names PyO3. `_native.pyi` is its contract.

// First, for its macro.
#[macro_use]
mod orders;

mod convert;
mod engine;
mod simulator;

use pyo3::prelude::*;

pyo3::create_exception!(
    _native,
    EngineError,
    pyo3::exceptions::PyException,
    "A call that the engine cannot carry out: a malformed argument, too much waiting, or closed."
);

/// The compiled packet engine.
#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::EngineError;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::simulator::Simulator;
}
