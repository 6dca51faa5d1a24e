//! A bucket: moto, which speaks S3 as boto3 and its users know it, in a process of its own that keeps everything in memory.

use std::{
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::{
    eventually, repository,
    server::{bound_to_this_thread, free_port},
};

const NAME: &str = "hall";

pub struct Bucket {
    process: Child,
    endpoint: String,
    http: reqwest::Client,
}

impl Bucket {
    /// Starts the service and makes the bucket.
    pub async fn start() -> Bucket {
        let service = repository().join(".venv/bin/moto_server");
        assert!(service.exists(), "{} is missing: `make test` installs it", service.display());
        let port = free_port().to_string();
        let process = bound_to_this_thread(&service)
            .args(["--host", "127.0.0.1", "--port", &port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        let bucket = Bucket { process, endpoint: format!("http://127.0.0.1:{port}"), http: plain_client() };
        eventually("the bucket", async || {
            // Whoever comes without a signature may list it: that is how the test looks into it.
            let made = bucket.http.put(bucket.url()).header("x-amz-acl", "public-read").send().await;
            made.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        bucket
    }

    /// A client of plain HTTP, which asks others as well.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn url(&self) -> String {
        format!("{}/{NAME}", self.endpoint)
    }

    /// What `--files` says of a folder in it.
    pub fn files(&self) -> String {
        format!("s3://{NAME}/files")
    }

    /// The variables that lead there.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The names of everything in it.
    pub async fn keys(&self) -> Vec<String> {
        let list = self.http.get(format!("{}?list-type=2", self.url())).send().await.expect("the service answers");
        let list = list.error_for_status().expect("anyone may list it").text().await.expect("a list");
        list.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }
}

/// It is made with TLS that trusts nobody, because without any it asks for a provider of the whole process.
fn plain_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.expect("the provider speaks TLS").with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(Duration::from_secs(20));
    client.build().expect("a client")
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
