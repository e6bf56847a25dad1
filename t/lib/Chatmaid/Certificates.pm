package Chatmaid::Certificates;

# Certificates for tests and for the local sandbox, made by openssl when they
# are first asked for.  EC keys: an RSA key would take longer than most tests.

use Mojo::Base -base, -signatures;
use Carp qw(croak);

has 'dir';

# kind => [issuer, subject, subjectAltName]
my $API  = 'developers-api.chatmaid.net';
my %KIND = (
    ca      => [undef,     'Sandbox CA'],
    other   => [undef,     'Another CA'],
    good    => ['ca',      $API,            "DNS:$API,DNS:localhost,IP:127.0.0.1"],
    wrong   => ['ca',      'wrong.example', 'DNS:wrong.example'],
    foreign => ['other',   $API,            "DNS:$API,DNS:localhost,IP:127.0.0.1"],
    edge    => ['ca',      'localhost',     'DNS:localhost,IP:127.0.0.1'],
    client  => ['ca',      'orders',        'DNS:orders.internal'],
);

sub crt ($self, $kind) { $self->make($kind)->[0] }
sub key ($self, $kind) { $self->make($kind)->[1] }

sub make ($self, $kind) {
    my ($issuer, $name, $alt) = @{$KIND{$kind} // croak "no certificate \"$kind\""};
    my ($crt, $key) = map { $self->dir . "/$kind.$_" } qw(crt key);
    return [$crt, $key] if -s $crt;

    my @signed = $issuer
        ? ('-CA' => $self->crt($issuer), '-CAkey' => $self->key($issuer)) : ();
    my $use = $issuer ? "basicConstraints = CA:FALSE\nsubjectAltName = $alt\n"
        : "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign\n";
    my $conf = "$crt.conf";
    open my $out, '>', $conf or croak "$conf: $!";
    print $out "[req]\ndistinguished_name = dn\nx509_extensions = use\nprompt = no\n[dn]\nCN = $name\n[use]\n$use";
    close $out;

    umask((my $before = umask) | 077);
    my $said = run(qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256
        -nodes -days 30), '-config' => $conf, '-keyout' => $key, '-out' => "$crt.new", @signed);
    umask $before;

    # Last, and at once: who finds the certificate finds its key.
    rename "$crt.new", $crt or croak "openssl req for \"$kind\" failed: $said";
    unlink $conf;
    return [$crt, $key];
}

sub run (@command) {
    my $pid = open(my $out, '-|') // croak "cannot fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec @command or die "cannot run $command[0]: $!\n";
    }
    local $/;
    my $said = <$out> // '';
    close $out;
    return $said;
}

1;
