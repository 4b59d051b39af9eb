//! What is in `deploy/`, as far as it can be run here: the systemd units' command, and the number of workers as KEDA
//! would have it. What the tools of systemd, Kubernetes and Terraform say of the files is asked by `make lint`.

mod scaling;
mod starts;
mod systemd;
