//! One person's page in a real browser: what a test can do there and what it can see.

use crate::{
    artifacts, eventually,
    script::Script,
    world::{PASSWORD, World},
};
use serde_json::{Value, json};

/// Root mean square of 85 ms, of full scale: -40 dB. The browser's fake microphone beeps far above it, silence is far below.
const AUDIBLE: f64 = 0.01;

/// -60 dB, where comfort noise may be.
const SILENT: f64 = 0.001;

/// The fake microphone beeps once a second; who is silent for this long says nothing.
const SILENCE_MS: u64 = 2_500;

/// One person's page.
pub struct Page<'a> {
    browser: &'a Script,
    name: &'static str,
}

impl<'a> Page<'a> {
    pub async fn open(browser: &'a Script, name: &'static str, url: &str) -> Page<'a> {
        Page::open_with(browser, name, url, json!({})).await
    }

    /// With more for the browser: `width` and `height` of the window.
    pub async fn open_with(browser: &'a Script, name: &'static str, url: &str, mut fields: Value) -> Page<'a> {
        // Both pages play and record the same beep, which the echo filter would take for an echo.
        let storage = json!({"guildhall.microphone.processing": "off"});
        (fields["page"], fields["url"], fields["storage"]) = (json!(name), json!(url), storage);
        browser.ask("open", fields).await;
        Page { browser, name }
    }

    pub async fn act(&self, what: &str, id: &str, mut fields: Value) -> Value {
        fields["page"] = json!(self.name);
        fields["id_of"] = json!(id);
        self.browser.ask(what, fields).await
    }

    pub async fn click(&self, id: &str) {
        self.act("click", id, json!({})).await;
    }

    pub async fn fill(&self, id: &str, value: &str) {
        self.act("fill", id, json!({"value": value})).await;
    }

    /// One of a list's values.
    pub async fn chooses(&self, id: &str, value: &str) {
        self.act("choose", id, json!({"value": value})).await;
    }

    pub async fn sees(&self, id: &str) {
        self.act("see", id, json!({})).await;
    }

    pub async fn reads(&self, id: &str, text: &str) {
        self.act("see", id, json!({"text": text})).await;
    }

    pub async fn sees_no_more(&self, id: &str) {
        self.act("miss", id, json!({})).await;
    }

    pub async fn attribute(&self, id: &str, name: &str) -> Value {
        self.act("attribute", id, json!({"name": name})).await
    }

    pub async fn evaluate(&self, js: &str) -> Value {
        self.act("evaluate", "", json!({"js": js})).await
    }

    pub async fn writes(&self, text: &str) {
        self.fill("composer", text).await;
        self.act("press", "composer", json!({"key": "Enter"})).await;
    }

    pub async fn logs_in(&self, login: &str, password: &str) {
        self.fill("login-name", login).await;
        self.fill("login-password", password).await;
        self.click("login-submit").await;
        self.sees("user-panel").await;
    }

    pub async fn shoot(&self, name: &str) {
        let path = artifacts().join(format!("{name}.png"));
        self.browser.ask("screenshot", json!({"page": self.name, "path": path})).await;
    }

    /// What the page's voice hook says of another person in the room; null while that person is not there.
    pub async fn participant(&self, username: &str) -> Value {
        let js = format!("window.guildhall.voice().participants.find((each) => each.username === '{username}') ?? null");
        self.evaluate(&js).await
    }

    /// Waits until both measures say that a person is audible: the Web Audio meter and the browser's own statistics of the
    /// receiving stream.
    pub async fn hears(&self, username: &str) {
        eventually(&format!("{} to measure {username} by the Web Audio meter", self.name), async || {
            (self.participant(username).await["level"].as_f64()? > AUDIBLE).then_some(())
        })
        .await;
        let energy = async || {
            let js = format!(
                "(async () => {{
                    const person = window.guildhall.voice().participants.find((each) => each.username === '{username}');
                    const slot = window.guildhall.voice().slots.find((each) => each.userId === person?.userId);
                    const stream = (await window.guildhall.inbound()).find((each) => each.mid === slot?.mid);
                    return stream ? [stream.audioLevel, stream.totalAudioEnergy, stream.packetsReceived] : null;
                }})()"
            );
            self.evaluate(&js).await
        };
        eventually(&format!("{} to measure {username} by getStats", self.name), async || {
            let stats = energy().await;
            let is_audible = stats[0].as_f64()? > AUDIBLE && stats[1].as_f64()? > 0.0 && stats[2].as_u64()? > 0;
            is_audible.then_some(())
        })
        .await;
    }

    /// Waits until nothing of a person is measured over a time in which the fake microphone would have beeped.
    pub async fn hears_silence_of(&self, username: &str) {
        let js = format!(
            "(async () => {{
                const until = performance.now() + {SILENCE_MS};
                let loudest = 0;
                while (performance.now() < until) {{
                    const person = window.guildhall.voice().participants.find((each) => each.username === '{username}');
                    loudest = Math.max(loudest, person?.level ?? 0);
                    await new Promise((done) => setTimeout(done, 40));
                }}
                return loudest;
            }})()"
        );
        eventually(&format!("{} to hear nothing of {username}", self.name), async || {
            (self.evaluate(&js).await.as_f64()? < SILENT).then_some(())
        })
        .await;
    }

    /// A new member of the guild in its voice channel, by a page of `base` (the server as the browser reaches it) that runs
    /// `prepare` before it joins. `fields` as for [`Page::open_with`].
    pub async fn in_call(
        browser: &'a Script,
        world: &World,
        base: &str,
        name: &'static str,
        fields: Value,
        prepare: &str,
    ) -> Page<'a> {
        world.member(name).await;
        let page = Page::open_with(browser, name, &format!("{base}/channels/{}", world.guild), fields).await;
        page.logs_in(&format!("{name}@loadtest.invalid"), PASSWORD).await;
        page.evaluate(prepare).await;
        page.joins_voice("hearth").await;
        page
    }

    pub async fn joins_voice(&self, channel: &str) {
        self.click(&format!("voice-join-{channel}")).await;
        self.is_connected().await;
    }

    pub async fn is_connected(&self) {
        eventually(&format!("{} to be connected by voice", self.name), async || {
            (self.evaluate("window.guildhall.voice().state").await == "connected").then_some(())
        })
        .await;
    }
}

/// No page threw anything, nor wrote an error to its console (a refusal by the content security policy is one).
pub fn assert_no_page_failed(browser: &Script) {
    let mut errors = browser.events("page_error");
    errors.extend(browser.events("console").into_iter().filter(|line| line["type"] == "error"));
    assert!(errors.is_empty(), "{errors:?}");
}
