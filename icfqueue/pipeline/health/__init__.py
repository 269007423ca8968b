"""Whether disk, mount and store on the web let work go on."""
