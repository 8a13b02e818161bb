//! The `pipeline` binary: hands its arguments to [`atelier::cli`] and exits with the code that comes back.

fn main() -> std::process::ExitCode {
    atelier::cli::main()
}
