//! The `pipeline` binary: hands its arguments to [`atelier::cli`] and exits with the code that comes back.

/// Keeps pages that a training step gives back and takes again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    atelier::cli::main()
}
