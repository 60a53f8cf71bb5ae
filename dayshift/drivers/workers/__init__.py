"""Those who do the maintenance: commands and persons. Work survives the controller;
what was begun is never begun again. Not here: deciding which step is next."""
