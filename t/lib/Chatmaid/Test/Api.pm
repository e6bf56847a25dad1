package Chatmaid::Test::Api;

# The sandbox as a test sees it: a process, and questions to its control port.

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Carp qw(croak);
use Chatmaid::Test::Client;
use Chatmaid::Test::World qw(test_dir test_port wait_for spurt certificates);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Parameters;

has [qw(settings plain receiver)];
has cert    => 'good';
has control => sub ($self) {
    Chatmaid::Test::Client->new(keepalive => 1, public => 0,
        base => 'http://127.0.0.1:' . test_port($self->name . '-control'));
};

my $script = path(__FILE__)->dirname->child('../../../sandbox.pl')->to_abs;

sub port ($self) { test_port($self->name) }

# The first sandbox of a test is a child that was forked when nothing was open yet.
# It has most of what it needs, and need not be started from the beginning.

my $spare;

sub prefork () {
    $spare = [Chatmaid::Test::Process::forked(sub {
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
    spurt(test_dir() . "/$name.json", encode_json($self->settings));
    my %option = (dir => $tls->dir, cert => $self->cert,
        port => test_port($name), control => test_port("$name-control"),
        settings => test_dir() . "/$name.json", ready => $ready);
    my @flags = grep { $self->$_ } qw(plain receiver);

    if ($spare) {
        print {$spare->[1]} encode_json([$self->output, {%option, map { $_ => 1 } @flags}]), "\n";
        $spare->[1]->flush;
        $self->runs(@$spare);
        undef $spare;
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

# What it printed besides its ports: warnings, which are bugs of the sandbox.
sub complaints ($self) { $self->text =~ s/^\{"api".*\n//mgr }

sub ask ($self, $method, $path, $body = undef) {
    my $answer = $self->control->request($method, $path, $body);
    croak "$method $path: " . ($answer->{error} // $answer->{body})
        unless $answer->{status} == 200;
    return $answer->{json};
}

sub query (%want) { Mojo::Parameters->new(%want)->to_string }


# --- What it received --------------------------------------------------------

# requests(method => …, path => '/v1/messages/*', account =>, environment =>,
#          request_id =>, from => N)
sub requests ($self, %want) { @{$self->ask(GET => '/requests?' . query(%want))} }
sub count ($self, %want)    { $self->ask(GET => '/requests?' . query(%want, count => 1))->{count} }
sub last ($self, %want)     { ($self->requests(%want))[-1] }
sub sends ($self)           { $self->count(method => 'POST', path => '/v1/messages/send') }
sub messages ($self)        { @{$self->ask(GET => '/messages')} }
sub made ($self)            { $self->ask(GET => '/messages?count=1')->{count} }
sub state ($self)           { $self->ask(GET => '/state') }
sub connections ($self)     { @{$self->ask(GET => '/connections')} }

# All values of a header in a request of the journal, in order.
sub header ($self, $request, $name) {
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$request->{headers}};
}


# --- What it shall do --------------------------------------------------------

sub fault ($self, @faults) { $self->ask(POST => '/faults', \@faults)->{ids} }
sub faults ($self)         { @{$self->ask(GET => '/faults')} }
sub clear_faults ($self)   { $self->ask(DELETE => '/faults') }
sub config ($self, %new)   { $self->ask(POST => '/config', \%new) }
sub reset ($self)          { $self->ask(POST => '/reset') }
sub close_idle ($self)     { $self->ask(POST => '/connections/close')->{closed} }

# Moves the message of that id, or all with undef.
sub move ($self, $id, $status, $code = undef) {
    $self->ask(POST => '/messages/move', {id => $id, status => $status, errorCode => $code})
        ->{moved};
}

sub held ($self) { @{$self->ask(GET => '/held')} }

sub wait_held ($self, $count = 1) {
    wait_for(sub { $self->held >= $count }, "$count held requests");
}

sub release ($self, $count = undef) {
    $self->ask(POST => '/release', {count => $count})->{released};
}

# For what the gateway does after it has answered, or of its own accord.
sub wait_requests ($self, $count, %want) {
    wait_for(sub { $self->count(%want) >= $count }, "$count requests");
}


# --- Its webhooks ------------------------------------------------------------

# event('message.sent', data => {…}, timestamp => …) or (…, body => $bytes); the
# URLs are those of config(webhooks => {endpoints => [{url, secret}]}).
sub event ($self, $name, %more) { $self->ask(POST => '/webhooks', {event => $name, %more})->{ids} }
sub deliveries ($self, %want)   { @{$self->ask(GET => '/webhooks?' . query(%want))} }

# All that it began have ended; how many were successful.
sub wait_deliveries ($self) {
    wait_for(sub { !$self->ask(GET => '/webhooks?count=1&state=pending')->{count} }, 'the deliveries to end');
    return $self->ask(GET => '/webhooks?count=1&state=delivered')->{count};
}

1;
