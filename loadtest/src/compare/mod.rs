
/// x
#[derive(Debug, clap::Args)]
pub struct CompareArgs {}
/// x
/// # Errors
/// x
pub fn run(_args: &CompareArgs) -> Result<(), String> {
    Ok(())
}
