"use strict";
/* What somebody who has nothing yet installs and types, before the first clone. */

function firstTime(store) {
  const host = hostOf(store);
  return make(
    "details",
    { id: "first-time" },
    make("summary", {}, "For the first time? What to install and what to type"),
    make(
      "ol",
      {},
      make(
        "li",
        {},
        make("p", {}, "You need Git and Python 3.10 or newer. On Debian or Ubuntu, and on " +
          "Windows in its Linux (WSL):"),
        command("sudo apt install git python3-venv", "install Git and Python"),
        make("p", {}, "On a Mac:"),
        command("brew install git python", "install Git and Python on a Mac"),
      ),
      make(
        "li",
        {},
        make("p", {}, "DataLad with its extension datalad-next, and git-annex, go into a " +
          "folder of their own:"),
        command(
          "python3 -m venv ~/datalad-env\n" +
          "~/datalad-env/bin/pip install datalad-next git-annex",
          "install DataLad",
        ),
        make("p", {}, "Say where they are, in each new terminal:"),
        command("export PATH=~/datalad-env/bin:$PATH", "find DataLad"),
      ),
      make(
        "li",
        {},
        make("p", {}, "Git wants to know your name and address; they stay with you:"),
        command(
          'git config --global user.name "Your Name"\n' +
          "git config --global user.email you@example.org",
          "tell Git your name",
        ),
      ),
      make(
        "li",
        {},
        make("p", {}, `${host} asks for a user name and a password; whoever gave you ` +
          "access to the study can tell you. DataLad asks for them when it first needs " +
          "them (user, password, the password once more), and then for a name of your " +
          "choice, under which it keeps them. To type them anew, should they be wrong:"),
        command("datalad credentials remove NAME", "forget the password"),
      ),
    ),
  );
}

function hostOf(address) {
  try {
    return new URL(address).host;
  } catch {
    return "The store";
  }
}
