//! One login for a run, kept alive: renewed at two thirds of its life in the background, made anew when it has ended.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client::{Client, Token};
use crate::error::VaultError;
use crate::login::{self, Grant, Login};

/// A life shorter than this is not renewed: whoever needs a token then logs in.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// A token counts as ended so long before its end, or a tenth of its life if that is less: a request takes time.
const MARGIN: Duration = Duration::from_secs(5);

/// What a run has from its login.
pub(crate) struct Session {
    client: Arc<Client>,
    login: Login,
    /// Held while somebody logs in, so that the others get what that one gets.
    held: tokio::sync::Mutex<Option<Held>>,
    keeper: Mutex<Option<AbortHandle>>,
}

/// A token to ask with.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) token: Arc<Token>,
    /// When it ends, less the margin.
    ends: Option<Instant>,
}

impl Held {
    fn new(grant: Grant) -> Self {
        let ends = grant.life.map(|life| Instant::now() + life.saturating_sub(MARGIN.min(life / 10)));
        Self { token: Arc::new(grant.token), ends }
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }
}

impl Session {
    pub(crate) fn new(client: Arc<Client>, login: Login) -> Arc<Self> {
        Arc::new(Self { client, login, held: tokio::sync::Mutex::default(), keeper: Mutex::default() })
    }

    /// The token of the run; logs in if there is none, or its life is over. The flag says whether that was just now.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<(Held, bool), VaultError> {
        let mut held = self.held.lock().await;
        // A file that others write is read each time.
        let known = held.as_ref().filter(|held| !held.is_over() && self.login.given_token().is_none());
        if let Some(known) = known {
            return Ok((known.clone(), false));
        }
        let grant = self.login.perform(&self.client).await?;
        let fresh = self.login.given_token().is_none();
        if fresh {
            tracing::debug!(life_s = grant.life.map(|life| life.as_secs()), "logged in at Vault");
        }
        let renewal = grant.life.filter(|_| grant.renewable);
        let new = Held::new(grant);
        if let Some(life) = renewal {
            self.keep(Arc::clone(&new.token), life);
        }
        *held = Some(new.clone());
        Ok((new, fresh))
    }

    /// After a refusal with this token: another token, if Vault does not know this one any more; `None` if it does, and
    /// the refusal stands.
    pub(crate) async fn replacement(self: &Arc<Self>, refused: &Held) -> Result<Option<Held>, VaultError> {
        if login::is_known(&self.client, &refused.token).await? {
            return Ok(None);
        }
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token.is(&refused.token)) {
            *held = None;
        }
        drop(held);
        let (new, _) = self.token().await?;
        match self.login.given_token() {
            Some(token) if new.token.is(&refused.token) => Err(VaultError::TokenInvalid { token }),
            _ => Ok(Some(new)),
        }
    }

    /// Lets a task renew the token, which ends with the token or the session. There is one at a time.
    fn keep(self: &Arc<Self>, token: Arc<Token>, life: Duration) {
        let task = tokio::spawn(keep(Arc::downgrade(self), token, life));
        self.replace_keeper(Some(task.abort_handle()));
    }

    fn replace_keeper(&self, keeper: Option<AbortHandle>) {
        // A panic while the lock is held leaves it whole: the change is one assignment.
        let mut place = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = std::mem::replace(&mut *place, keeper) {
            former.abort();
        }
    }

    /// Renews the token once. Returns how long it lives now; `None` if it is no longer the one of the session, or Vault
    /// does not know it.
    async fn renew(&self, token: &Arc<Token>, rest: Duration) -> Option<Duration> {
        let renewed = Grant::renewed(&self.client, token).await;
        let mut held = self.held.lock().await;
        let current = held.as_mut().filter(|held| held.token.is(token))?;
        match renewed {
            Ok(grant) => {
                tracing::debug!(life_s = grant.life.map(|life| life.as_secs()), "renewed the token at Vault");
                let life = grant.life.filter(|_| grant.renewable);
                current.ends = Held::new(grant).ends;
                life
            }
            // Who has no caller that could try again tries again itself, in what is left of the token's life.
            Err(error) if error.is_about_vault() => {
                tracing::debug!(code = error.code(), "could not renew the token at Vault");
                Some(rest)
            }
            Err(error) => {
                tracing::debug!(code = error.code(), "Vault refuses to renew the token");
                *held = None;
                None
            }
        }
    }

    /// Gives a token that the session got from a login back to Vault, and renews it no more.
    pub(crate) async fn close(&self) {
        self.replace_keeper(None);
        let held = self.held.lock().await.take();
        if let Some(held) = held.filter(|_| self.login.given_token().is_none()) {
            login::revoke(&self.client, &held.token).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.replace_keeper(None);
    }
}

/// Renews at two thirds of what is left of the token's life, as long as there is a life worth it.
async fn keep(session: Weak<Session>, token: Arc<Token>, mut life: Duration) {
    while life >= LIFE_MIN {
        let pause = life * 2 / 3;
        tokio::time::sleep(pause).await;
        let Some(session) = session.upgrade() else { return };
        match session.renew(&token, life.saturating_sub(pause)).await {
            Some(left) => life = left,
            None => return,
        }
    }
}
