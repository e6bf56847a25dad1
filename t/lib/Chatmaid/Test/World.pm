package Chatmaid::Test::World;

# What all parts of a test share: its directory, its ports, its secrets, the
# processes it started, and the way it waits.

use Mojo::Base -strict, -signatures;
use Carp qw(croak);
use Chatmaid::Certificates;
use Exporter 'import';
use File::Temp;
use IO::Socket::IP;
use MIME::Base64 qw(encode_base64);
use Mojo::File qw(path);
use Mojo::IOLoop;
use Socket qw(SOL_SOCKET SO_REUSEADDR);
use Test::More ();
use Time::HiRes qw(time);

our @EXPORT_OK = qw(test_dir memory_dir test_port free_port wait_for pause patience at_most secret fresh_secret api_key
    certificates leaks_in seen leaks_seen started processes slurp spurt);

my $owner = $$;
my ($dir, $memory, %ports, @secrets, %seen, @processes);


# --- Directory and files -----------------------------------------------------

sub test_dir () {
    $dir //= File::Temp->newdir('chatmaid-XXXXXX', TMPDIR => 1);
    return "$dir";
}

# For what waits for its writes to be on the disk, which on a busy one takes long.
sub memory_dir () {
    return test_dir() unless -d '/dev/shm' && -w _;
    $memory //= File::Temp->newdir('chatmaid-XXXXXX', DIR => '/dev/shm');
    return "$memory";
}

sub slurp ($file) { -e $file ? path($file)->slurp : '' }

# Its name before Mojolicious 9.34.
*Mojo::File::spew = Mojo::File->can('spurt') unless Mojo::File->can('spew');

# Every file may hold a secret, so none is ever readable by others.

sub spurt ($file, $bytes, $mode = 0600) {
    my $before = umask 077;
    open my $out, '>', $file or croak "$file: $!";
    print $out $bytes;
    close $out or croak "$file: $!";
    umask $before;
    chmod $mode, $file;
    return $file;
}

sub certificates () {
    state $certificates = do {
        mkdir test_dir() . '/tls', 0700;
        Chatmaid::Certificates->new(dir => test_dir() . '/tls');
    };
    return $certificates;
}


# --- Ports -------------------------------------------------------------------

# A port is held by a socket that is bound but does not listen.  It was bound
# without SO_REUSEADDR, so the kernel gives its port to no other test; the option
# set afterwards lets our own server bind beside it.

sub test_port ($name) { ($ports{$name} //= hold())->sockport }

sub hold () {
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
        Proto => 'tcp', ReuseAddr => 0) or croak "no free port: $@";
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, pack 'i', 1;
    return $socket;
}

sub free_port ($name) { delete $ports{$name} }


# --- Waiting -----------------------------------------------------------------

# A test waits until the thing happens.  That a minute has passed means that it
# never will, on any machine.
#
# Runs the event loop meanwhile, so that requests started with later() go on.

sub wait_for ($condition, $name = 'a condition', $deadline = 60) {
    my $end = time + patience($deadline);
    my $gap = 0.005;

    while (1) {
        my $value = $condition->();
        return $value if $value;
        croak "waited $deadline s in vain for $name" if time > $end;
        Mojo::IOLoop->timer($gap => sub { });
        Mojo::IOLoop->one_tick;
        $gap = $gap * 1.2 if $gap < 0.05;
    }
}

# Lets so much time pass.
sub pause ($seconds) {
    return if $seconds <= 0;
    my $over;
    Mojo::IOLoop->timer($seconds => sub { $over = 1 });
    Mojo::IOLoop->one_tick until $over;
}

# Sanitized code is several times slower.
sub patience ($seconds) { $seconds * ($ENV{CHATMAID_PATIENCE} // 1) }

# An upper bound that is asserted.  What it tells apart is something that comes by
# itself and something that comes by a deadline which is far off; never how fast
# the machine is.
sub at_most ($seconds) { 3 * patience($seconds) }


# --- Secrets -----------------------------------------------------------------

# Registers a value that may appear nowhere but in its own file and upstream.

sub secret ($value) {
    croak 'a secret this short would be found by chance' if length $value < 12;
    push @secrets, [forms($value)] unless grep { $_->[0][0] eq $value } @secrets;
    return $value;
}

sub api_key ($environment = 'test') { fresh_secret("sk_${environment}_") }

sub fresh_secret ($prefix) {
    my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);
    return secret($prefix . join '', map { $letters[rand @letters] } 1 .. 24);
}

# The forms in which a secret could leak.  Base64 of it depends on where in the
# encoded text it begins: three alignments, without the characters at the ends
# that depend on its neighbors.

sub forms ($value) {
    my @forms = ([$value, 'plain'], [unpack('H*', $value), 'hex']);
    for my $shift (0 .. 2) {
        my $encoded = encode_base64('x' x $shift . $value, '');
        push @forms, [substr($encoded, $shift ? 4 : 0, -4), 'base64'];
    }
    return @forms;
}

# Names what was found, but never prints the secret itself.

sub leaks_in ($text) {
    my @found;
    for my $i (0 .. $#secrets) {
        for my $form (@{$secrets[$i]}) {
            push @found, "secret $i ($form->[1])" if index($text, $form->[0]) >= 0;
        }
    }
    return @found;
}

# Every answer and every output is looked at as it arrives.

sub seen ($what, $text) {
    $seen{"$_ in $what"}++ for leaks_in($text // '');
    $seen{"a sanitizer's report in $what"}++ if ($text // '') =~ /Sanitizer:|runtime error:/;
    return $text;
}

sub leaks_seen () { sort keys %seen }


# --- Processes ---------------------------------------------------------------

sub started ($process) { push @processes, $process; return $process }
sub processes ()       { @processes }

# Whatever way the test ends, nothing it started lives on.  A child that was
# forked and not yet replaced by its program must not clean up.

END {
    my $status = $?;
    if ($$ == $owner) {
        $_->kill_now for reverse @processes;
        keep() if $ENV{CHATMAID_KEEP} && ($status || !Test::More->builder->is_passing);
    }
    $? = $status;
}

# With CHATMAID_KEEP=1 the directories of a test that failed stay, with the
# configurations, the logs and what each process said.

sub keep () {
    for my $kept (grep { defined } $dir, $memory) {
        $kept->unlink_on_destroy(0);
        print STDERR "# kept: $kept\n";
    }
}

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

1;
