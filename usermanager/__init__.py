"""The project: wires the apps together and knows no rule of theirs."""
