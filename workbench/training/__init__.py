"""How a phase trains: what it makes smaller, how weights move, what is held out, and how it goes on after a kill."""
