//! Build script: what the headers of the Ruby at hand say, for `cfg` and the linker.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    rb_sys_env::activate()?;
    Ok(())
}
