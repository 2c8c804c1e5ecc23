//! NATS as a client without a library meets it: line by line, with every refusal in the server's own
//! words, which libraries keep to themselves.
//!
//! The client protocol is a few words of text over TCP (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
//! A `PING` is answered after everything that was said before it, so nothing here waits for what may not
//! come, but for the answer to a request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// No answer of a server on this machine takes longer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// What the server says to a request that nobody listens for.
const NO_RESPONDERS: &str = "NATS/1.0 503";

/// A connection.
#[derive(Debug)]
pub struct Nats {
    reader: BufReader<TcpStream>,
    inbox: Vec<Message>,
    sids: u32,
}

/// Who connects: a user's claims, and the seed that shows that they are his.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The claims.
    pub jwt: &'a str,
    /// The seed, `SU…`.
    pub seed: &'a str,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// Its body, with its headers before it if it has any.
    pub body: String,
}

/// What became of something that was said to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was taken.
    Taken,
    /// It was answered.
    Answered(String),
    /// It was refused, in these words.
    Refused(String),
}

impl<'a> Login<'a> {
    /// The one in a `.creds` file: two blocks between lines of dashes.
    ///
    /// # Errors
    /// When it has not got both.
    pub fn of_file(text: &'a str) -> Result<Self> {
        let word = |line: &&str| !line.is_empty() && !line.starts_with('-') && !line.contains(' ');
        let mut words = text.lines().map(str::trim).filter(word);
        let (jwt, seed) = (words.next(), words.find(|word| word.starts_with("SU")));
        Ok(Self { jwt: jwt.context("claims in the file")?, seed: seed.context("a seed in the file")? })
    }
}

impl Nats {
    /// Connects; the server's own words where it lets nobody in.
    ///
    /// # Errors
    /// When there is no server, or it says what no server says.
    pub fn connect(url: &str, login: Option<Login<'_>>) -> Result<Result<Self, String>> {
        let address = url.trim_start_matches("nats://").trim_end_matches('/');
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {url}"))?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let mut nats = Self { reader: BufReader::new(stream), inbox: Vec::new(), sids: 0 };
        let info = nats.line()?.context("the server says nothing")?;
        let info: Value =
            serde_json::from_str(info.strip_prefix("INFO ").context("a server begins with INFO")?)?;
        let nonce = info["nonce"].as_str().unwrap_or_default();
        let mut connect = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "lang": "tests", "version": "1", "protocol": 1,
        });
        if let Some(login) = login {
            let key = KeyPair::from_seed(login.seed).context("a user has a seed")?;
            connect["jwt"] = json!(login.jwt);
            connect["sig"] = json!(URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes())?));
        }
        match nats.say(&format!("CONNECT {connect}"))? {
            Said::Refused(words) => Ok(Err(words)),
            Said::Taken | Said::Answered(_) => Ok(Ok(nats)),
        }
    }

    /// Says a line and learns what the server makes of it. A server that hangs up without a word refuses.
    ///
    /// # Errors
    /// When the server cannot be understood.
    pub fn say(&mut self, line: &str) -> Result<Said> {
        self.exchange(&format!("{line}\r\nPING\r\n"))
    }

    /// Whether the server still talks to us, which has it send first what it has for us.
    ///
    /// # Errors
    /// When the server cannot be understood.
    pub fn ping(&mut self) -> Result<Said> {
        self.exchange("PING\r\n")
    }

    /// Sends text that ends with the one `PING`, and takes in all that comes before its answer.
    fn exchange(&mut self, text: &str) -> Result<Said> {
        let sent = self.reader.get_mut().write_all(text.as_bytes());
        let mut refusal = sent.err().map(|_| "the connection was closed".to_owned());
        loop {
            match self.line()? {
                None => {
                    return Ok(Said::Refused(
                        refusal.unwrap_or_else(|| "the connection was closed".to_owned()),
                    ));
                }
                Some(line) if line == "PONG" => return Ok(refusal.map_or(Said::Taken, Said::Refused)),
                Some(line) if line.starts_with("-ERR") => refusal = Some(line),
                Some(line) => self.take(&line)?,
            }
        }
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// When the server cannot be understood.
    pub fn publish(&mut self, subject: &str, body: &str) -> Result<Said> {
        self.say(&format!("PUB {subject} {}\r\n{body}", body.len()))
    }

    /// Subscribes to a subject.
    ///
    /// # Errors
    /// When the server cannot be understood.
    pub fn subscribe(&mut self, subject: &str) -> Result<Said> {
        self.sids += 1;
        self.say(&format!("SUB {subject} {}", self.sids))
    }

    /// Asks, and waits for an answer; that nobody listens is a refusal.
    ///
    /// # Errors
    /// When the server cannot be understood, or somebody who listens does not answer.
    pub fn request(&mut self, subject: &str, body: &str) -> Result<Said> {
        let inbox = format!("_INBOX.{}", hex::encode(rand::random::<[u8; 8]>()));
        if let refused @ Said::Refused(_) = self.subscribe(&inbox)? {
            return Ok(refused);
        }
        let said = self.say(&format!("PUB {subject} {inbox} {}\r\n{body}", body.len()))?;
        if let refused @ Said::Refused(_) = said {
            return Ok(refused);
        }
        let began = Instant::now();
        loop {
            if let Some(at) = self.inbox.iter().position(|message| message.subject == inbox) {
                let answer = self.inbox.remove(at);
                return Ok(match answer.body.starts_with(NO_RESPONDERS) {
                    true => Said::Refused("nobody listens".to_owned()),
                    false => Said::Answered(answer.body),
                });
            }
            if began.elapsed() > ANSWER_DEADLINE {
                bail!("no answer to {subject}");
            }
            if let Said::Refused(words) = self.ping()? {
                return Ok(Said::Refused(words));
            }
        }
    }

    /// The messages that came since the last look.
    ///
    /// # Errors
    /// When the connection is over, or the server cannot be understood.
    pub fn messages(&mut self) -> Result<Vec<Message>> {
        match self.ping()? {
            Said::Refused(words) => bail!("looking for messages: {words}"),
            Said::Taken | Said::Answered(_) => Ok(std::mem::take(&mut self.inbox)),
        }
    }

    /// Takes in what the server says by itself.
    fn take(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["PING"] => self.reader.get_mut().write_all(b"PONG\r\n").context("answering a PING"),
            ["MSG" | "HMSG", subject, .., size] => {
                let mut body = vec![0; size.parse::<usize>()? + 2];
                self.reader.read_exact(&mut body)?;
                let body = String::from_utf8_lossy(&body).trim_end().to_owned();
                self.inbox.push(Message { subject: (*subject).to_owned(), body });
                Ok(())
            }
            ["INFO" | "+OK", ..] => Ok(()),
            _ => bail!("the server says {line:?}"),
        }
    }

    /// The next line; none when the server has hung up.
    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line.trim_end().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error).context("waiting for the server"),
        }
    }
}
