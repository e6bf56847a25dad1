package Chatmaid::Test::Api;

# The sandbox as a test sees it: a process, and questions to its control port.

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Carp qw(croak);
use Chatmaid::Test::World qw(test_dir test_port wait_for spurt certificates);
use IO::Socket::IP;
use Mojo::File qw(path);
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);

has [qw(settings plain receiver)];
has cert => 'good';
has host => '127.0.0.1';
has port => sub ($self) { test_port($self->name) };

my $script = path(__FILE__)->dirname->child('../../../sandbox.pl')->to_abs;

# The first two sandboxes of a test are children that were forked when nothing was
# open yet.  They have most of what they need, and need not be started from the
# beginning.

my @spare;

sub prefork () { push @spare, spare() for 1, 2 }

sub spare () {
    return [Chatmaid::Test::Process::forked(sub {
        my $line = '';
        until ($line =~ /\n/) { sysread STDIN, $line, 65536, length $line or return }
        my ($output, $option) = @{decode_json($line)};
        Chatmaid::Test::Process::output_to($output);

        my $class = $option->{receiver} ? 'Chatmaid::Sandbox::Receiver' : 'Chatmaid::Sandbox';
        eval "require $class; 1" or die $@;
        $class->run(%$option);
    })];
}

# Started again it has the same port and remembers nothing.

sub start ($self) {
    my ($name, $tls) = ($self->name, certificates);
    my $ready = test_dir() . "/$name.ready";

    $tls->crt($_) for 'ca', $self->cert;        # made by us, not by several at once
    unlink $ready;
    delete $self->{control};
    spurt(test_dir() . "/$name.json", encode_json($self->settings));
    my %option = (dir => $tls->dir, cert => $self->cert,
        host => $self->host, port => $self->port, control => test_port("$name-control"),
        settings => test_dir() . "/$name.json", ready => $ready);
    my @flags = grep { $self->$_ } qw(plain receiver);

    if (my $spare = shift @spare) {
        print {$spare->[1]} encode_json([$self->output, {%option, map { $_ => 1 } @flags}]), "\n";
        $spare->[1]->flush;
        $self->runs(@$spare);
    } else {
        $self->command([$^X, "$script", (map { ("--$_" => $option{$_}) } sort keys %option), map { "--$_" } @flags]);
        $self->SUPER::start;
    }
    wait_for(sub {
        croak "the sandbox did not start: " . $self->text unless $self->alive;
        -e $ready;
    }, "sandbox $name");
    return $self;
}

sub ended ($self) {
    return $self->alive ? '' : ' (the sandbox has ended, status ' . $self->status . ': ' . $self->text . ')';
}

# What it printed besides its ports: warnings, which are bugs of the sandbox.
sub complaints ($self) { $self->text =~ s/^\{"api".*\n//mgr }

# Chatmaid::Sandbox::Control says what there is to ask.  The answer comes at once,
# so nothing else is done meanwhile; then what has arrived elsewhere is looked at.

sub ask ($self, $name, $want = {}) {
    my $control = $self->{control} //= IO::Socket::IP->new(PeerHost => '127.0.0.1',
        PeerPort => test_port($self->name . '-control')) // croak "$name: $@", $self->ended;

    local ($,, $\, $/) = (undef, undef, "\n");
    print $control encode_json([$name, $want]), "\n";
    $control->flush;
    my $line = <$control> // croak "$name: no answer", $self->ended;
    my ($error, $data) = @{decode_json($line)};
    croak "$name: $error" if defined $error;

    Mojo::IOLoop->next_tick(sub { });
    Mojo::IOLoop->one_tick;
    return $data;
}


# --- What it received --------------------------------------------------------

# requests(method => …, path => '/v1/messages/*', account =>, environment =>,
#          request_id =>, body =>, text =>, from => N)
sub requests ($self, %want) { @{$self->ask(requests => \%want)} }
sub count ($self, %want)    { $self->ask(requests => {%want, count => 1}) }
sub last ($self, %want)     { $self->ask(requests => {%want, last => 1})->[0] }
sub sends ($self)           { $self->count(method => 'POST', path => '/v1/messages/send') }
sub messages ($self, %want) { @{$self->ask(messages => \%want)} }
sub made ($self)            { $self->ask(messages => {count => 1}) }
sub state ($self)           { $self->ask('state') }
sub connections ($self)     { @{$self->ask('connections')} }

# All values of a header in a request of the journal, in order.
sub header ($self, $request, $name) {
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$request->{headers}};
}


# --- What it shall do --------------------------------------------------------

sub fault ($self, @faults) { $self->ask(fault => {faults => \@faults}) }
sub faults ($self)         { @{$self->ask('faults')} }
sub clear_faults ($self)   { $self->ask('clear_faults') }
sub config ($self, %new)   { $self->ask(config => \%new) }
sub reset ($self)          { $self->ask('reset') }
sub close_idle ($self)     { $self->ask('close_idle') }

# Moves the message of that id, or all with undef.
sub move ($self, $id, $status, $code = undef) {
    $self->ask(move => {id => $id, status => $status, errorCode => $code});
}

sub held ($self) { @{$self->ask('held')} }

sub wait_held ($self, $count = 1) {
    wait_for(sub { $self->ask(held => {count => 1}) >= $count }, "$count held requests");
}

sub release ($self, $count = undef) { $self->ask(release => {count => $count}) }

# For what the gateway does after it has answered, or of its own accord.
sub wait_requests ($self, $count, %want) {
    wait_for(sub { $self->count(%want) >= $count }, "$count requests");
}


# --- Its webhooks ------------------------------------------------------------

# event('message.sent', data => {…}, timestamp => …) or (…, body => $bytes); the
# URLs are those of config(webhooks => {endpoints => [{url, secret}]}).
sub event ($self, $name, %more) { $self->ask(event => {event => $name, %more}) }
sub deliveries ($self, %want)   { @{$self->ask(deliveries => \%want)} }

# All that it began have ended; how many were successful.
sub wait_deliveries ($self) {
    wait_for(sub { !$self->ask(deliveries => {count => 1, state => 'pending'}) }, 'the deliveries to end');
    return $self->ask(deliveries => {count => 1, state => 'delivered'});
}

1;
