"""`passerelle completion`: the script that completes commands and options in a shell."""

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script with which a shell completes commands and options.

    For bash: passerelle completion bash > ~/.local/share/bash-completion/completions/passerelle
    For zsh, into a folder of $fpath: passerelle completion zsh > ~/.zfunc/_passerelle
    For fish: passerelle completion fish > ~/.config/fish/completions/passerelle.fish

    Parameters
    ----------
    shell
        The shell that reads it.
    """
    from service.cli.commands import app, load_all

    load_all()
    print(app.generate_completion(shell=shell))
    return 0
